"""Which passages of the documents a question is about: by meaning, and by its words where languages match."""
