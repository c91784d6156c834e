"""Faust's Kafka transport, adapted to topics that are written in transactions.

Faust 0.15 reads uncommitted records unless its own processing is set to exactly once. The tracker doesn't need that,
because its updates are idempotent. But it must not show a case that an aborted transaction published.

Faust also commits an offset only when every earlier one is acknowledged or known to be a gap, and it misses a gap after
offset 0. Transaction markers and aborted records are gaps. So a partition that begins with one record and an aborted
transaction was read but its offset was never committed.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers import aiokafka as driver


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka reads this attribute when the consumer starts, and Faust has no setting for it. A test checks it.
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):
    def _new_offset(self, tp: Any) -> int | None:
        """Return the position to commit: behind the last acknowledged record, as one agent reads in order."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        last = max(acknowledged)
        acknowledged.clear()
        self._acked_index[tp].clear()
        return int(last) + 1

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:
        """Ignore gaps, because `_new_offset` doesn't need them."""

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """Faust's `kafka://` transport that reads committed records only."""

    Consumer = _Consumer
