"""Commands on dead letters: failed transactions, pauses, tasks being restored, and records that no longer exist."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import pytest
from confluent_kafka import KafkaException, TopicPartition
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from schemas.topics import group, transactional_id
from streams.clients import LocalMessage, Partition
from streams.command_runner import PAUSE_MAX_S
from streams.pipeline import Pipeline
from streams.sealing import Coding
from streams.settings import PipelineSettings
from streams.testing.driver import SEALER, TopologyTestDriver
from streams.testing.memory_log import MemoryClients, MemoryReader
from tests.unit.streams import toys
from tests.unit.streams.failures import ERRORS, FailCalls

INPUT: Partition = ("in.item", 0)
#: Changelog of the dead-letter queue.
CHANGELOG = "state.double.dlq"


def driver_with_dead_letter() -> tuple[TopologyTestDriver, str]:
    """Return a driver whose step `double` has one dead letter at offset 0 of `in.item`, and the dead letter's id."""
    driver = toys.create_driver()
    toys.pipe_items(driver, [(toys.POISON, 1)])
    driver.run("double")
    (dead_letter,) = driver.dead_letters("double")
    return driver, dead_letter["digest"]


def statuses(driver: TopologyTestDriver) -> list[str]:
    """Return each published status of a dead letter of `double`, in order."""
    return [row["status"] for row in driver.dead_letters("double")]


@dataclass
class LimitedClients(MemoryClients):
    """Clients whose readers return no input records at `deleted` offsets.

    While `visible_end` is set, they also return nothing of the queue's changelog from that offset on.
    """

    deleted: Collection[int] = ()
    visible_end: int | None = None

    def reader(self) -> MemoryReader:
        """Return a reader of changelogs and single records."""
        return _LimitedReader(self)

    def is_visible(self, message: LocalMessage) -> bool:
        """Return whether readers return this message now."""
        hidden = self.visible_end is not None and message.offset() >= self.visible_end
        return not (hidden and message.topic() == CHANGELOG)

    def is_deleted(self, message: LocalMessage) -> bool:
        """Return whether this is a deleted input record."""
        return not message.error() and message.topic() == INPUT[0] and message.offset() in self.deleted


class _LimitedReader(MemoryReader):
    def __init__(self, clients: LimitedClients) -> None:
        super().__init__(clients.log)
        self._clients = clients
        self._unread = list[LocalMessage]()

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read these partitions from their offsets."""
        self._unread.clear()
        super().assign(partitions)

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """Return those records and ends of partitions that are visible."""
        messages = [*self._unread, *super().consume(num_messages, timeout)]
        self._unread = [message for message in messages if not self._clients.is_visible(message)]
        visible = filter(self._clients.is_visible, messages)
        return [message for message in visible if not self._clients.is_deleted(message)]


def restarted_double(driver: TopologyTestDriver, clients: LimitedClients) -> Pipeline:
    """Return a started pipeline of `double` with these clients, which takes over the slot from that of the driver."""
    driver.restart("double")
    coding = Coding(toys.CODEC, SEALER)
    pipeline = Pipeline(toys.steps()[0], clients, coding, PipelineSettings(), lambda: 0.0)
    pipeline.start()
    return pipeline


def limited_clients(
    driver: TopologyTestDriver, deleted: Collection[int] = (), visible_end: int | None = None
) -> LimitedClients:
    """Return clients of `double` on the driver's log."""
    return LimitedClients(
        driver.log,
        group("double"),
        transactional_id("double", 0),
        deleted=deleted,
        visible_end=visible_end,
    )


@pytest.mark.parametrize(
    ("call", "when", "error"),
    [
        ("produce", "before", "abort"),
        ("send_offsets_to_transaction", "before", "timeout"),
        ("send_offsets_to_transaction", "after", "abort"),
        ("commit_transaction", "before", "abort"),
        ("commit_transaction", "before", "timeout"),
        ("commit_transaction", "after", "timeout"),
    ],
)
def test_a_command_is_applied_once_if_its_transaction_fails(call: str, when: str, error: str) -> None:
    """If the outcome is unknown, the task is restored; the command is repeated if its changelog doesn't contain it."""
    driver, digest = driver_with_dead_letter()
    fail_calls = FailCalls({(call, when, 0): ERRORS[error]()})
    driver.log.on_call = fail_calls
    driver.send_command("double", "DISMISS", digest)
    driver.run("double")
    assert fail_calls.failures == 1
    assert statuses(driver) == ["OPEN", "DISMISSED"]
    assert driver.dlq_entries("double") == []


def test_pauses_between_failed_attempts_double_up_to_a_limit() -> None:
    """The first repetition comes without a pause. Records are processed during a pause."""
    driver, digest = driver_with_dead_letter()
    attempts_s = list[float]()

    def fail_commit(call: str, when: str) -> None:
        if call == "commit_transaction":
            attempts_s.append(driver.log.now_ms / 1_000)
            raise KafkaException(ERRORS["abort"]())

    driver.log.on_call = fail_commit
    driver.send_command("double", "DISMISS", digest)
    pipeline = driver.pipeline("double")
    while len(attempts_s) < 13:
        pipeline.run_once()
        driver.log.now_ms += 500
    gaps_s = [after - before for before, after in pairwise(attempts_s)]
    # After a failure, a run only polls: so the first repetition comes one second later, in the second run after it.
    assert gaps_s == [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, PAUSE_MAX_S, PAUSE_MAX_S]

    driver.log.on_call = lambda call, when: None
    toys.pipe_items(driver, [("a", 1)])
    assert sum(pipeline.run_once() for _ in range(3)) == 1
    assert (statuses(driver), pipeline.commands_pending) == (["OPEN"], True)

    driver.log.now_ms += 1_000 * round(PAUSE_MAX_S)
    driver.run("double")
    assert statuses(driver) == ["OPEN", "DISMISSED"]


def test_a_command_read_in_the_run_after_a_failure_is_applied_in_the_next() -> None:
    """A run after a failed transaction polls records, and postpones commands without losing them."""
    driver, digest = driver_with_dead_letter()
    pipeline = driver.pipeline("double")
    toys.pipe_items(driver, [("a", 1)])
    driver.log.on_call = FailCalls({("commit_transaction", "before", 0): ERRORS["abort"]()})
    assert pipeline.run_once() == 0
    driver.send_command("double", "DISMISS", digest)
    assert (pipeline.run_once(), pipeline.commands_read) == (1, 1)
    assert statuses(driver) == ["OPEN"]
    driver.run("double")
    assert statuses(driver) == ["OPEN", "DISMISSED"]


def test_a_command_waits_until_its_task_is_restored() -> None:
    """An incomplete queue may have the dead letter already, but not yet the fact that the command was applied."""
    driver, digest = driver_with_dead_letter()
    entries = len(driver.log.records[CHANGELOG, 0])
    driver.send_command("double", "RETRY", digest)
    driver.run("double")
    clients = limited_clients(driver, visible_end=entries)
    pipeline = restarted_double(driver, clients)
    while not pipeline.partitions:
        pipeline.run_once()
    # A new command lets the worker search for all that it can apply.
    driver.send_command("double", "DISMISS", digest)
    for _ in range(3):
        assert pipeline.run_once() == 0
    assert (pipeline.partitions, pipeline.restoring, pipeline.commands_read) == ([INPUT], True, 2)
    (task,) = pipeline.tasks.values()
    assert task.dead_letters.counts() == (1, 0)
    assert statuses(driver) == ["OPEN", "OPEN"]

    clients.visible_end = None
    for _ in range(5):
        pipeline.run_once()
    assert (pipeline.restoring, pipeline.commands_pending) == (False, False)
    assert statuses(driver) == ["OPEN", "OPEN", "DISMISSED"]


def test_a_retry_of_a_deleted_record_fails() -> None:
    """If the topic no longer has the record, the dead letter stays open with that reason."""
    driver, digest = driver_with_dead_letter()
    driver.send_command("double", "RETRY", digest)
    pipeline = restarted_double(driver, limited_clients(driver, deleted=[0]))
    for _ in range(5):
        pipeline.run_once()
    last = driver.dead_letters("double")[-1]
    assert (last["status"], last["reason"], last["value"]) == ("OPEN", "record-deleted", None)
    assert len(driver.dlq_entries("double")) == 1


def test_a_repair_whose_value_cannot_be_opened_fails() -> None:
    """If the command has no value, or no key opens it, the dead letter stays open with that reason."""
    driver, digest = driver_with_dead_letter()
    driver.send_command("double", "REPAIR", digest, value=None)
    driver.run("double")
    last = driver.dead_letters("double")[-1]
    assert (last["status"], last["reason"]) == ("OPEN", "repair-unreadable")


def test_a_command_of_an_unknown_type_is_skipped() -> None:
    """A newer intake may publish command types that this version doesn't know: they are logged and counted as read."""
    driver, digest = driver_with_dead_letter()
    driver.send_command("double", "UNKNOWN", digest)
    driver.send_command("double", "DISMISS", digest)
    with capture_logs() as logs:
        driver.run("double")
    assert statuses(driver) == ["OPEN", "DISMISSED"]
    (warning,) = [line for line in logs if line["event"] == "commands.unknown"]
    assert warning["records"] == 1
    assert driver.pipeline("double").commands_read == 2


def test_a_new_status_is_not_counted_as_a_dead_letter() -> None:
    """The metrics count each dead letter once; the gauge of open ones falls when it is resolved."""
    driver, digest = driver_with_dead_letter()
    before = dead_letter_metrics()
    driver.send_command("double", "DISMISS", digest)
    driver.run("double")
    assert before[1] == 1
    assert dead_letter_metrics() == (before[0], 0)


def dead_letter_metrics() -> tuple[float | None, float | None]:
    """Return the number of dead letters that `double` has published in this process, and of those that are open."""
    names = ("mesh_dead_letters_total", "mesh_dead_letters_open")
    total, still_open = [REGISTRY.get_sample_value(name, {"step": "double"}) for name in names]
    return total, still_open
