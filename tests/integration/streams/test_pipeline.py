"""A pipeline on a real broker: output, state, dead letters and operator commands."""

from __future__ import annotations

from typing import Any

from schemas.tables import table_from_rows
from schemas.topics import command_topic, dlq_state_topic, dlq_topic, group
from streams.dead_letters import seal_context
from streams.lag import LagReader
from streams.testing.driver import SEALER
from tests.integration.streams.broker import Broker, process
from tests.unit.streams import toys


def test_records_are_processed_once_and_undecodable_ones_become_dead_letters(broker: Broker) -> None:
    """The inputs are a topic pattern; a topic created later is read too."""
    item, first = f"{broker.prefix}-item", f"{broker.prefix}-in.a"
    broker.create(item, first)
    broker.create_dlq_topics("double")
    broker.write_items(first, [("a", 1), ("b", 2)])
    broker.write(first, [("k", b"\xffno record")])
    worker = broker.pipeline("double")
    worker.start()
    process(worker, records=3)
    second = f"{broker.prefix}-in.b"
    broker.create(second)
    broker.write_items(second, [("c", 3)])
    process(worker)
    worker.close()
    assert sorted(row["amount"] for row in broker.rows(item, "item")) == [2, 4, 6]
    (dead_letter,) = broker.rows(dlq_topic(broker.step_name("double")), "dead-letter")
    assert (dead_letter["topic"], dead_letter["offset"]) == (first, 2)
    context = seal_context(dead_letter["step"], dead_letter["digest"], "value")
    assert SEALER.open(dead_letter["value"], context) == b"\xffno record"
    with LagReader(broker.connection) as lag_reader:
        assert lag_reader.idle(group(broker.step_name("double")), [first, second])


def test_state_is_restored_from_the_changelog(broker: Broker) -> None:
    """The next worker continues with the state that was committed."""
    topic, _ = broker.create_total_topics()
    broker.write_items(topic, [("a", 1), ("b", 1), ("a", 1)])
    worker = broker.pipeline("total")
    worker.start()
    process(worker, records=3)
    worker.close()
    broker.write_items(topic, [("a", 1), ("b", 5)])
    restarted = broker.pipeline("total")
    restarted.start()
    process(restarted, records=2)
    restarted.close()
    assert broker.sums() == {"a": [1, 2, 3], "b": [1, 6]}


def test_commands_on_dead_letters_of_an_earlier_worker(broker: Broker) -> None:
    """One worker dead-letters and blocks records; the next one restores the queue and handles operator commands."""
    topic, _ = broker.create_total_topics(1)
    name = broker.step_name("total")
    broker.write_items(topic, [("a", 1), (toys.RAISES, 1), (toys.RAISES, 2), ("b", 1)])
    worker = broker.pipeline("total")
    worker.start()
    process(worker, records=4)
    worker.close()
    (dead_letter,) = broker.rows(dlq_topic(name), "dead-letter")
    restarted = broker.pipeline("total")
    restarted.start()
    broker.write_items(topic, [(toys.RAISES, 3), ("b", 1)])
    process(restarted, records=2)
    for number, command_type in enumerate(("DISMISS", "DISMISS", "RETRY")):
        (digest,) = {row["digest"] for row in dlq_entries(broker) if row["kind"] == "DEAD_LETTER"}
        command = {
            "id": f"in.operator/0/{number}",
            "command": command_type,
            "step": dead_letter["step"],
            "digest": digest,
        }
        table = table_from_rows("dead-letter-command", [command], toys.CATALOGUE)
        (value,) = toys.CODEC.encode("dead-letter-command", table).to_pylist()
        broker.write(command_topic(name), [(digest, value)])
        process(restarted)
    restarted.close()
    assert [(row["kind"], row["offset"]) for row in dlq_entries(broker)] == [("DEAD_LETTER", 4)]
    statuses = [(row["offset"], row["status"]) for row in broker.rows(dlq_topic(name), "dead-letter")]
    assert statuses == [
        (1, "OPEN"),
        (1, "DISMISSED"),
        (2, "OPEN"),
        (2, "DISMISSED"),
        (4, "OPEN"),
        (4, "OPEN"),
    ]
    assert broker.sums() == {"a": [1], "b": [1, 2]}


def dlq_entries(broker: Broker) -> list[dict[str, Any]]:
    """Return the dead letters and blocked records of the step `total`, from the changelog of its queue."""
    last = {
        message.key(): message.value() for message in broker.read(dlq_state_topic(broker.step_name("total")))
    }
    values = [value for value in last.values() if value is not None]
    rows = toys.CODEC.decode("dlq-entry", values).table.to_pylist()
    return [row for row in rows if row["kind"] != "COMMAND"]
