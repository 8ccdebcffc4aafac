"""What vLLM's CPU backend needs: a `vllm.general_plugins` entry point, run in every engine process."""

from vllm.platforms import current_platform

from . import lora_kernels, packed_weights


def register() -> None:
    """Repair the CPU backend's LoRA; does nothing on another platform. May be called again."""
    if current_platform.is_cpu():
        packed_weights.register()
        lora_kernels.register()
