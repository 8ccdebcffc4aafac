"""The state machine as data."""

from hypothesis import given
from hypothesis import strategies as st

from adapters.lifecycle import ENDED, LOADABLE, ROUTABLE, TRANSITIONS, UPLOADING, State, may, sources

STATES = st.sampled_from(list(State))


def reachable(start: State, without: State | None = None) -> set[State]:
    found, todo = {start}, [start]
    while todo:
        for state in TRANSITIONS[todo.pop()] - found - {without}:
            found.add(state)
            todo.append(state)
    return found


def test_every_state_has_rules_and_is_reachable() -> None:
    assert set(TRANSITIONS) == set(State)
    assert reachable(State.RECEIVED) == set(State)


@given(STATES, STATES)
def test_sources_and_may_agree(a: State, b: State) -> None:
    assert may(a, b) == (a in sources(b))


@given(STATES)
def test_no_state_moves_to_itself_and_none_is_a_dead_end(state: State) -> None:
    assert not may(state, state)
    assert State.COLLECTED in reachable(state)


def test_only_proved_versions_become_routable() -> None:
    for state in ROUTABLE:
        assert state not in reachable(State.RECEIVED, without=State.PROBED)


def test_bytes_go_only_through_draining_or_rejection() -> None:
    assert not reachable(State.READY, without=State.DRAINING) & ENDED
    assert sources(State.COLLECTED) == {State.RETIRED}
    assert sources(State.RETIRED) == {State.DRAINING}


def test_stable_never_drains_directly() -> None:
    assert not may(State.STABLE, State.DRAINING)


def test_what_answers_is_loaded_and_uploads_are_not() -> None:
    assert ROUTABLE < LOADABLE
    assert not LOADABLE & (UPLOADING | ENDED | {State.DRAINING, State.RETIRED})
