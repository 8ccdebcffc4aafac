"""What the documents say: ingested, cut into facts, searchable."""
