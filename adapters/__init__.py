"""Adapters: what one is, from the trainer to the engine."""
