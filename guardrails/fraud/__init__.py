"""Fraud rules: a customer in danger is warned, who asks for the secrets of risk control is refused."""
