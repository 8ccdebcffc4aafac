"""The life of an adapter version: its states and the moves between them, as data.

Pure: no I/O, no clock. `adapters.registry` is the only writer of states and takes its rules from here.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    """Where a version is in its life. One value for the whole installation, not per engine."""

    RECEIVED = "received"
    VALIDATED = "validated"
    STORED = "stored"
    LOADED = "loaded"
    PROBED = "probed"
    READY = "ready"
    CANDIDATE = "candidate"
    STABLE = "stable"
    DRAINING = "draining"
    RETIRED = "retired"
    COLLECTED = "collected"
    REJECTED = "rejected"


def _rules() -> Mapping[State, frozenset[State]]:
    s = State
    rules = {
        s.RECEIVED: {s.VALIDATED, s.REJECTED},
        s.VALIDATED: {s.STORED, s.REJECTED},
        s.STORED: {s.LOADED, s.REJECTED, s.DRAINING},
        s.LOADED: {s.PROBED, s.REJECTED, s.DRAINING},
        s.PROBED: {s.READY, s.REJECTED, s.DRAINING},
        s.READY: {s.CANDIDATE, s.STABLE, s.DRAINING},
        s.CANDIDATE: {s.READY, s.STABLE, s.DRAINING},
        # A stable version never drains directly: its alias has to move or go first.
        s.STABLE: {s.READY},
        s.DRAINING: {s.RETIRED},
        s.RETIRED: {s.COLLECTED},
        # The same bytes may come again: their version id is the same, and its life starts over.
        s.COLLECTED: {s.RECEIVED},
        s.REJECTED: {s.RECEIVED},
    }
    return MappingProxyType({state: frozenset(to) for state, to in rules.items()})


TRANSITIONS: Mapping[State, frozenset[State]] = _rules()

LOADABLE: frozenset[State] = frozenset(
    {State.STORED, State.LOADED, State.PROBED, State.READY, State.CANDIDATE, State.STABLE}
)
"""Versions in these states must be on every engine."""

ROUTABLE: frozenset[State] = frozenset({State.READY, State.CANDIDATE, State.STABLE})
"""Versions in these states may answer, on engines that proved them."""

UPLOADING: frozenset[State] = frozenset({State.RECEIVED, State.VALIDATED})
ENDED: frozenset[State] = frozenset({State.COLLECTED, State.REJECTED})


def may(current: State, to: State) -> bool:
    """True when the rules allow the move `current` → `to`."""
    return to in TRANSITIONS[current]


def sources(to: State) -> frozenset[State]:
    """Every state from which `to` may be reached in one move."""
    return frozenset(state for state, targets in TRANSITIONS.items() if to in targets)
