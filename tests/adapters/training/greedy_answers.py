"""Run by the trainer's interpreter: what a base model with an adapter answers greedily, as a JSON list.

python -m tests.adapters.training.greedy_answers BASE ADAPTER QUESTION…
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer


def main(base: str, adapter: str, questions: list[str]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16), adapter
    )
    answers = []
    for question in questions:
        asked = [{"role": "user", "content": question}]
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False, return_tensors="pt")
        said = model.generate(**prompt, do_sample=False, max_new_tokens=60)[0, prompt["input_ids"].shape[1] :]
        answers.append(tokenizer.decode(said, skip_special_tokens=True))
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
