"""Faust's Kafka transport, reading committed records only.

Faust 0.15 reads uncommitted records unless its own processing is set to exactly once, which the tracker doesn't need:
its updates are idempotent. What it must not do is show a case by a record whose transaction was aborted.
"""

from __future__ import annotations

from typing import Any

from faust.transport.drivers import aiokafka as driver


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka reads this when the consumer starts, and Faust leaves no other way in; a test holds it.
        consumer._isolation_level = "read_committed"
        return consumer


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(driver.Transport):
    """`kafka://`, for a tracker that sees what was committed."""

    Consumer = _Consumer
