"""A pipeline on a real broker."""

from __future__ import annotations

from streams.pipeline import Pipeline
from streams.progress import Progress
from tests.integration.streams.conftest import Broker, wait_until


def turn_until(worker: Pipeline, records: int) -> None:
    """Turns until so many records are committed."""
    done = 0

    def turned() -> bool:
        nonlocal done
        done += worker.turn()
        return done >= records

    wait_until(f"{records} records", turned)


def test_records_go_through_once_and_poison_goes_aside(broker: Broker) -> None:
    """A topic by expression, one that comes later too; poison to the dead letters, offsets with the outputs."""
    item, first, dlq = f"{broker.prefix}-item", f"{broker.prefix}-in.a", f"dlq.{broker.name('double')}"
    broker.create(item, first, dlq)
    broker.feed(first, [("a", 1), ("b", 2)])
    broker.write(first, [("k", b"\xffno record")])
    worker = broker.pipeline("double")
    worker.start()
    turn_until(worker, 3)
    second = f"{broker.prefix}-in.b"
    broker.create(second)
    broker.feed(second, [("c", 3)])
    turn_until(worker, 1)
    worker.close()
    assert sorted(row["amount"] for row in broker.rows(item, "item")) == [2, 4, 6]
    (letter,) = broker.rows(dlq, "dead-letter")
    assert (letter["topic"], letter["offset"], letter["value"]) == (first, 2, b"\xffno record")
    with Progress(broker.connection) as progress:
        assert progress.idle(f"mesh.{broker.name('double')}", [first, second])


def test_state_comes_back_from_the_changelog(broker: Broker) -> None:
    """Another slot takes the partitions over with the state that was committed."""
    topic, state = f"{broker.prefix}-item", f"state.{broker.name('total')}.sums"
    broker.create(topic, f"{broker.prefix}-total", partitions=2)
    broker.create(state, partitions=2, compacted=True)
    broker.feed(topic, [("a", 1), ("b", 1), ("a", 1)])
    worker = broker.pipeline("total")
    worker.start()
    turn_until(worker, 3)
    worker.close()
    broker.feed(topic, [("a", 1), ("b", 5)])
    again = broker.pipeline("total")
    again.start()
    turn_until(again, 2)
    again.close()
    told: dict[str, list[int]] = {}
    for row in broker.rows(f"{broker.prefix}-total", "total"):
        told.setdefault(row["name"], []).append(row["sum"])
    assert told == {"a": [1, 2, 3], "b": [1, 6]}
