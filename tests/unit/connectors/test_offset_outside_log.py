"""A sink whose stored offset the log doesn't have says so, and what to do; it stops and applies nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from structlog.testing import capture_logs

from connectors.sink_worker import SinkInput, SinkWorker
from infra.run.logs import drop_unsafe
from streams.clients import LocalMessage
from streams.errors import LostRecordsError
from tests.contract.sink_suite import CODEC

TOPIC = "domain.care"
STORED = 41_200_000


class OpenedSink:
    """A sink that has one stored offset, and to which nothing may be given."""

    open_dead_letters: Collection[str] = ()

    def open(self, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the stored offset of each partition."""
        return dict.fromkeys(partitions, STORED)

    def close(self) -> None:
        """Release nothing."""


class OutsideConsumer:
    """A consumer whose broker has no record at the offset to read from, but those of `log_range`."""

    def __init__(self, log_range: tuple[int, int] | None) -> None:
        self.log_range = log_range

    def subscribe(self, topics: list[str], *, on_assign: Any, **_: Any) -> None:
        """Assign one partition."""
        on_assign(self, [TopicPartition(TOPIC, 3)])

    def assign(self, partitions: list[TopicPartition]) -> None:
        """Read nothing."""

    def consume(self, num_messages: int, timeout: float) -> list[LocalMessage]:
        """Return the error of librdkafka."""
        return [LocalMessage((TOPIC, 3), -1, failure=KafkaError(KafkaError._AUTO_OFFSET_RESET))]

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
        """Return the range, or raise as a client does whose broker doesn't answer."""
        if self.log_range is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return self.log_range


@pytest.mark.parametrize(
    ("log_range", "event"),
    [
        ((0, 120), "sink.offset-beyond-end"),
        ((STORED + 5, STORED + 9), "sink.records-deleted"),
        (None, None),
    ],
)
def test_the_sink_says_what_to_do(log_range: tuple[int, int] | None, event: str | None) -> None:
    """With both offsets, as log lines may have them; without an answer of a broker it stops all the same."""
    sink: Any = OpenedSink()
    consumer: Any = OutsideConsumer(log_range)
    worker = SinkWorker(SinkInput(TOPIC, "domain-care", CODEC), sink, consumer)
    worker.start()
    with capture_logs() as lines, pytest.raises(LostRecordsError):
        worker.run_once()
    said = [line for line in lines if line["event"].startswith("sink.")]
    if log_range is None:
        assert said == []
        return
    ((_, *fields),) = [sorted(line.items(), key=lambda field: field[0] != "log_level") for line in said]
    line = drop_unsafe(None, "error", dict(fields))
    assert line["event"] == event
    assert (line["topic"], line["partition"], line["offset"]) == (TOPIC, 3, STORED)
    assert (line["offset_first"], line["offset_end"]) == log_range
    assert "mesh replay" in line["action"]
    assert "dropped" not in line
