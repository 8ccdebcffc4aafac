"""The way of one chat request."""
