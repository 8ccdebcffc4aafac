"""One module a training method, each read from top to bottom; `method.py` says what they share."""
