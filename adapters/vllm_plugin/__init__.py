"""The engine's side of Atelier: a vLLM plugin, installed into the engine's environment on its own.

Imports nothing from the rest of the repository. Load it with `VLLM_PLUGINS=atelier`.
"""
