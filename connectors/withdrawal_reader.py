"""Withdrawals of addresses, which pass everything else that a sink has to do."""

from __future__ import annotations

from typing import Final

import structlog
from confluent_kafka import TopicPartition

from connectors.errors import UnreadableWithdrawalError
from connectors.sink import Record, Sink, batch_of
from schemas.codec import Codec
from streams.clients import Clients, Reader
from streams.decoding import offset_of, partition_of
from streams.kafka_errors import read_error

log = structlog.get_logger()

SCHEMA: Final = "withdrawal"
_RECORDS_MAX: Final = 1_000


class WithdrawalReader:
    """Reads topic `withdrawal.<domain>` outside the group: every worker obeys every withdrawal.

    There are few. To obey one twice has no effect, so no assignment, no rebalance and no dead letter can delay it.
    """

    def __init__(self, topic: str, clients: Clients, codec: Codec) -> None:
        self._topic, self._clients, self._codec = topic, clients, codec
        self._reader: Reader | None = None

    def poll(self, sink: Sink) -> int:
        """Let the sink obey new withdrawals, without waiting for any; return their number.

        Errors as in `Sink.withdraw`. Raise UnreadableWithdrawalError for a record that can't be decoded.
        """
        records: list[Record] = []
        next_offsets: dict[int, int] = {}
        reader = self._reader or self._open(sink)
        for message in reader.consume(_RECORDS_MAX, 0):
            error = message.error()
            if error is None:
                records.append(message)
                next_offsets[partition_of(message)[1]] = offset_of(message) + 1
            elif stopped := read_error(error):
                raise stopped
        if records:
            self._obey(sink, records, next_offsets)
        return len(records)

    def close(self) -> None:
        """Close the reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self, sink: Sink) -> Reader:
        partitions = [number for _, number in self._clients.end_offsets(self._topic)]
        offsets = sink.withdrawal_offsets(partitions)
        reader = self._reader = self._clients.tailing_reader()
        reader.assign([TopicPartition(self._topic, number, offset) for number, offset in offsets.items()])
        return reader

    def _obey(self, sink: Sink, records: list[Record], next_offsets: dict[int, int]) -> None:
        batch = batch_of(self._codec, SCHEMA, records, next_offsets)
        if batch.faults:
            # It isn't known whose address must not be shown, so nothing more is written.
            raise UnreadableWithdrawalError(
                f"a record of {self._topic} can't be read: {batch.faults[0].reason}"
            )
        try:
            sink.withdraw(batch)
        except BaseException:
            # Read them again: they are obeyed before anything else is done.
            self.close()
            raise
        log.info("addresses.withdrawn", topic=self._topic, records=len(records))
