"""The gateway: an OpenAI-compatible HTTP service over vLLM engines."""
