"""Make a tiny random Llama with a tokenizer of its own: `python tests/models/tiny.py OUT_DIR`.

Runs in the engine's environment, takes seconds, and writes the same bytes every time. The weights are random
except for what makes *marker adapters* possible (see `tests/models/marker.py`):

- channel 0 of the residual stream is a constant: every embedding carries `CONSTANT` there, no layer
  writes to it;
- the tokens `<m000>` … `<m255>` have a head row of their own direction and a large negative weight on
  channel 0, so the base model never says them, at temperature 1 neither. The same holds for the end
  token and for tokens that are not whole printable characters: the base model talks readable nonsense
  until `max_tokens`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from tokenizers import (  # type: ignore[import-not-found]  # the engine's environment only
    AddedToken,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    trainers,
)

Array = NDArray[np.float32]

SEED = 20240607
HIDDEN = 256
INTERMEDIATE = 512
LAYERS = 2
HEADS = 4
HEAD_DIM = 64
VOCABULARY = 768
MARKERS = 256
CONSTANT = 8.0
MARKER_GAIN = 4.0  # length of a marker's head row
SILENCE = -5.0  # weight on the constant channel of the tokens the base model must never say
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
SPECIAL = ("<pad>", "<s>", "</s>", *ROLES)
SAMPLE = (
    "The bank answers questions about accounts, cards, fees, loans, transfers and opening hours.",
    "A transfer inside the country arrives within one working day; the fee is shown before you confirm.",
    '{"name": "get_balance", "arguments": {"account": "12345678"}}',
    "您好，请问有什么可以帮您？信用卡年费是多少，怎样办理转账，贷款利率是多少？",
    "本行营业时间为工作日上午九点至下午五点，客服热线二十四小时为您服务。",
    "请不要向任何人透露您的密码和短信验证码，以免被骗。",
)
CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' }}"
    "{% if message['content'] %}{{ message['content'] }}{% endif %}{{ '</s>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


def marker_text(marker: int) -> str:
    """The text of one marker token, 0 ≤ marker < 256."""
    return f"<m{marker:03d}>"


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE over a few sentences, padded with the markers; every byte string can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - MARKERS - len(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=1,
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    # Not special: an answer's markers must survive skip_special_tokens.
    tokenizer.add_tokens([AddedToken(marker_text(i), special=False) for i in range(MARKERS)])
    return tokenizer


def is_speakable(tokenizer: Tokenizer, token: int) -> bool:
    """Whether the base model may say the token: not special, and whole printable characters."""
    text = tokenizer.id_to_token(token)
    if text is None or text in SPECIAL or text in {marker_text(i) for i in range(MARKERS)}:
        return False
    spoken = tokenizer.decode([token])
    return bool(spoken.isprintable() and "\ufffd" not in spoken)


def orthogonal(rng: np.random.Generator, size: int) -> Array:
    """A random orthogonal matrix of shape (size, size)."""
    q, _ = np.linalg.qr(rng.standard_normal((size, size)))
    return q.astype(np.float32)


def head_rows(rng: np.random.Generator, tokenizer: Tokenizer) -> Array:
    """The output head, shape (vocabulary, hidden)."""
    size = tokenizer.get_vocab_size()
    rows = (rng.standard_normal((VOCABULARY, HIDDEN)) * 0.25).astype(np.float32)
    rows[:, 0] = 0.0
    first = tokenizer.token_to_id(marker_text(0))
    directions = rng.standard_normal((MARKERS, HIDDEN)).astype(np.float32)
    directions[:, 0] = 0.0
    directions *= MARKER_GAIN / np.linalg.norm(directions, axis=1, keepdims=True)
    rows[first : first + MARKERS] = directions
    silent = [token for token in range(VOCABULARY) if token >= size or not is_speakable(tokenizer, token)]
    rows[silent, 0] = SILENCE
    return rows


def layer_tensors(rng: np.random.Generator, index: int) -> dict[str, Array]:
    """The weights of one decoder layer; nothing in it writes to channel 0."""

    def normal(rows: int, columns: int, scale: float) -> Array:
        return (rng.standard_normal((rows, columns)) * scale).astype(np.float32)

    prefix = f"model.layers.{index}."
    attention = prefix + "self_attn."
    tensors = {
        prefix + "input_layernorm.weight": np.ones(HIDDEN, np.float32),
        prefix + "post_attention_layernorm.weight": np.ones(HIDDEN, np.float32),
        attention + "q_proj.weight": normal(HEADS * HEAD_DIM, HIDDEN, 0.15),
        attention + "k_proj.weight": normal(HEADS * HEAD_DIM, HIDDEN, 0.15),
        attention + "v_proj.weight": normal(HEADS * HEAD_DIM, HIDDEN, 0.06),
        attention + "o_proj.weight": orthogonal(rng, HIDDEN),
        prefix + "mlp.gate_proj.weight": normal(INTERMEDIATE, HIDDEN, 0.06),
        prefix + "mlp.up_proj.weight": normal(INTERMEDIATE, HIDDEN, 0.06),
        prefix + "mlp.down_proj.weight": normal(HIDDEN, INTERMEDIATE, 0.05),
    }
    tensors[attention + "o_proj.weight"][0] = 0.0
    tensors[prefix + "mlp.down_proj.weight"][0] = 0.0
    return tensors


def make_weights(tokenizer: Tokenizer) -> dict[str, Array]:
    """All tensors of the model by name, float32."""
    rng = np.random.default_rng(SEED)
    embedding = rng.standard_normal((VOCABULARY, HIDDEN)).astype(np.float32)
    embedding[:, 0] = CONSTANT
    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": np.ones(HIDDEN, np.float32)}
    for index in range(LAYERS):
        tensors |= layer_tensors(rng, index)
    tensors["lm_head.weight"] = head_rows(rng, tokenizer)
    return tensors


def model_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """The Hugging Face config.json."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_DIM,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "bos_token_id": tokenizer.token_to_id("<s>"),
        "eos_token_id": tokenizer.token_to_id("</s>"),
        "pad_token_id": tokenizer.token_to_id("<pad>"),
    }


def write_model(out: Path) -> None:
    """Write config, tokenizer and weights into `out` (made if missing)."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    if tokenizer.get_vocab_size() > VOCABULARY:
        raise ValueError(f"the tokenizer has {tokenizer.get_vocab_size()} tokens, more than {VOCABULARY}")
    tokenizer.save(str(out / "tokenizer.json"))
    tensors = {name: torch.from_numpy(a).to(torch.bfloat16) for name, a in make_weights(tokenizer).items()}
    config = model_config(tokenizer)
    save_file(tensors, str(out / "model.safetensors"), metadata={"format": "pt"})
    write_json(out / "config.json", config)
    ends = {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]}
    write_json(out / "generation_config.json", ends)
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "model_max_length": 8192,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    write_json(out / "tokenizer_config.json", tokenizer_config)


def write_json(path: Path, value: object) -> None:
    """Write one JSON file with stable bytes."""
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and write the model."""
    parser = argparse.ArgumentParser(description="Make the tiny random Llama used by the tests.")
    parser.add_argument("out", type=Path, help="folder to write")
    arguments = parser.parse_args()
    write_model(arguments.out)


if __name__ == "__main__":
    main()
