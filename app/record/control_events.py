"""Audit records of control actions: who changed what."""

from __future__ import annotations

from collections.abc import Mapping

from app.record.audit_event import AuditEvent


def control_event(actor: str, action: str, subject: str, **details: object) -> AuditEvent:
    """The record of an action that has happened."""
    return AuditEvent(
        kind="control", actor=actor, action=action, subject=subject, outcome="ok", details=details or None
    )


def transition_event(change: Mapping[str, object]) -> AuditEvent:
    """The record of a move in the adapter registry; without an actor it was the system's own doing."""
    details = {name: value for name, value in change.items() if name not in {"event", "actor"}}
    return AuditEvent(
        kind="control",
        actor=str(change.get("actor") or "system"),
        action=str(change["event"]),
        subject=str(change.get("alias") or change["version"]),
        outcome=str(change.get("to") or "ok"),
        version=str(change["version"]) or None,
        details=details,
    )
