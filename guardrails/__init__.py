"""The guardrail chain as a pure library: no HTTP, no Redis, no torch."""
