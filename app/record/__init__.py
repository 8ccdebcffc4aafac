"""What is written down: metrics, the audit chain, feedback."""
