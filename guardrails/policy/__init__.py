"""The policy folder: what one assistant may say and must not, as files."""
