"""The wish to speak with a person."""
