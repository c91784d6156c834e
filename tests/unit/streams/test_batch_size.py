"""Less after what took too long, and more again by and by."""

from __future__ import annotations

from streams.batch_size import AdaptiveBatchSize


def test_each_failure_halves_and_one_is_the_least() -> None:
    """Nothing is ever too small to be tried."""
    size = AdaptiveBatchSize()
    sizes = [size.scale(100)]
    for _ in range(9):
        size.failed()
        sizes.append(size.scale(100))
    assert sizes == [100, 50, 25, 12, 6, 3, 1, 1, 1, 1]


def test_one_success_is_not_enough_to_try_more() -> None:
    """What takes too long costs a time-out each time: it is tried again after several that went well, once."""
    size = AdaptiveBatchSize()
    size.failed()
    size.failed()
    seen = []
    for _ in range(11):
        size.succeeded()
        seen.append(size.scale(100))
    assert seen == [25] * 4 + [50] * 5 + [100] * 2
    size.failed()
    assert size.scale(100) == 50
