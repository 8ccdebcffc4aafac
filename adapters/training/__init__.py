"""The trainer: from raw dialogues to a proved, signed adapter. Runs in an environment and an image of its own."""
