"""What a refused client is told about when to come back is true. After the tests that fill this minute."""

from concurrent.futures import Future

from tests.app.api.conftest import Patience


def test_retry_after_is_true(patience: Future[Patience]) -> None:
    """Waiting a second less than told is not enough, waiting as long as told is."""
    found = patience.result()
    assert 50 <= found.told <= 61
    assert found.early in {429, None}
    assert found.in_time == 200
