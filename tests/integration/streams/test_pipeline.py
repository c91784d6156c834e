"""A pipeline on a real broker."""

from __future__ import annotations

from typing import Any

from schemas.tables import table_from_rows
from streams.dead_letters import seal_context
from streams.lag import LagReader
from streams.pipeline import Pipeline
from streams.testing.driver import SEALER
from tests.integration.streams.conftest import Broker, wait_until
from tests.integration.streams.test_killed_workers import made, sums
from tests.unit.streams import toys


def turn_until(worker: Pipeline, records: int) -> None:
    """Turns until so many records are committed."""
    done = 0

    def turned() -> bool:
        nonlocal done
        done += worker.run_once()
        return done >= records

    wait_until(f"{records} records", turned)


def test_records_go_through_once_and_poison_goes_aside(broker: Broker) -> None:
    """A topic by expression, one that comes later too; poison to the dead letters, offsets with the outputs."""
    item, first, dlq = f"{broker.prefix}-item", f"{broker.prefix}-in.a", f"dlq.{broker.name('double')}"
    broker.create(item, first)
    broker.create_aside("double")
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
    assert (letter["topic"], letter["offset"]) == (first, 2)
    assert (
        SEALER.open(letter["value"], seal_context(letter["step"], letter["digest"], "value"))
        == b"\xffno record"
    )
    with LagReader(broker.connection) as progress:
        assert progress.idle(f"mesh.{broker.name('double')}", [first, second])


def test_state_comes_back_from_the_changelog(broker: Broker) -> None:
    """Another slot takes the partitions over with the state that was committed."""
    topic, state = f"{broker.prefix}-item", f"state.{broker.name('total')}.sums"
    broker.create(topic, f"{broker.prefix}-total", partitions=2)
    broker.create(state, partitions=2, compacted=True)
    broker.create_aside("total", 2)
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


def test_an_act_on_a_letter_while_workers_come_and_go(broker: Broker) -> None:
    """One worker sets aside and parks; the next one does what an officer filed, and restores what is set aside."""
    topic, out = made(broker, 1)
    broker.feed(topic, [("a", 1), (toys.RAISES, 1), (toys.RAISES, 2), ("b", 1)])
    worker = broker.pipeline("total")
    worker.start()
    turn_until(worker, 4)
    worker.close()
    (letter,) = broker.rows(f"dlq.{broker.name('total')}", "dead-letter")
    again = broker.pipeline("total")
    again.start()
    broker.feed(topic, [(toys.RAISES, 3), ("b", 1)])
    turn_until(again, 2)
    for number, deed in enumerate(("DISMISS", "DISMISS", "RETRY")):
        (open_,) = {row["digest"] for row in aside(broker) if row["kind"] == "DEAD_LETTER"}
        act = {"id": f"in.operator/0/{number}", "command": deed, "step": letter["step"], "digest": open_}
        value = toys.CODEC.encode(
            "dead-letter-command", table_from_rows("dead-letter-command", [act], toys.CATALOGUE)
        )
        broker.write(f"command.{broker.name('total')}", [(open_, value.to_pylist()[0])])
        turn_until(again, 1)
    again.close()
    assert [(row["kind"], row["offset"]) for row in aside(broker)] == [("DEAD_LETTER", 4)]
    statuses = [
        (row["offset"], row["status"]) for row in broker.rows(f"dlq.{broker.name('total')}", "dead-letter")
    ]
    assert statuses == [
        (1, "OPEN"),
        (1, "DISMISSED"),
        (2, "OPEN"),
        (2, "DISMISSED"),
        (4, "OPEN"),
        (4, "OPEN"),
    ]
    assert sums(broker, out) == {"a": [1], "b": [1, 2]}


def aside(broker: Broker) -> list[dict[str, Any]]:
    """What the step `total` has set aside."""
    last = {message.key(): message.value() for message in broker.read(f"state.{broker.name('total')}.parked")}
    rows = toys.CODEC.decode(
        "dlq-entry", [value for value in last.values() if value is not None]
    ).table.to_pylist()
    return [row for row in rows if row["kind"] != "COMMAND"]
