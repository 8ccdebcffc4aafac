"""The guardrail chain as a pure library: no HTTP, no Redis, no torch.

from guardrails import Chain, Message, load_policy

chain = Chain(load_policy("examples/bank/policy"))
outcome = chain.check_input([Message("user", "转人工")])
print(outcome.reply, outcome.verdicts)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guardrails.chain import Chain, InputOutcome
    from guardrails.message import Message
    from guardrails.output import Channel, Output
    from guardrails.policy.load import load_policy
    from guardrails.policy.policy import Policy
    from guardrails.problem import PolicyProblem
    from guardrails.session import Session, Ticket
    from guardrails.verdict import Decision, Span, Verdict

__all__ = [
    "Chain", "Channel", "Decision", "InputOutcome", "Message", "Output", "Policy", "PolicyProblem", "Session",
    "Span", "Ticket", "Verdict", "load_policy",
]  # fmt: skip

_HOMES = {
    "Chain": "chain", "InputOutcome": "chain", "Message": "message", "Channel": "output", "Output": "output",
    "load_policy": "policy.load", "Policy": "policy.policy", "PolicyProblem": "problem", "Session": "session",
    "Ticket": "session", "Decision": "verdict", "Span": "verdict", "Verdict": "verdict",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # On first use: who needs the word for a verdict should not load document parsers.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
