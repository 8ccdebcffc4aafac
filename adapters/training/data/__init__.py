"""The data room: sources, cleaning, synthetic dialogues, formats, and the 3C report."""
