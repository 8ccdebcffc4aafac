"""Run by the trainer's interpreter: encode JSONL rows with a model's tokenizer, print ids and labels as JSON."""

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from adapters.training.conversation import read_conversations
from adapters.training.encoding import encode_all

if __name__ == "__main__":
    model, rows = Path(sys.argv[1]), Path(sys.argv[2])
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoded = encode_all(tokenizer, read_conversations(rows), 4096, rows.name)
    learnt = [tokenizer.decode([label for label in row.labels if label >= 0]) for row in encoded]
    both = zip(encoded, learnt, strict=True)
    print(json.dumps([{"ids": row.ids, "labels": row.labels, "learnt": text} for row, text in both]))
