"""The lag of each step, read in processing order.

A step that is empty after all earlier steps were empty receives nothing more. So one pass from the first step to the
last without lag proves that the mesh is idle, although the steps are read one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import psycopg

from connectors.postgres.sink_status import StoreStatus, store_status
from infra.apply.installation import Installation
from infra.coding import codec
from infra.environment import Environment
from infra.errors import OperatorError
from infra.local.kafka_server import ADMIN, AUDITOR
from infra.triage.dlq_status import DlqInspector
from schemas.systems import DOMAINS
from schemas.topics import (
    CASE_DISPATCHED,
    CASE_OPENED,
    NOTICE,
    ORDERED_STEPS,
    PERSON_CHANGE,
    PROTECTION,
    RECEIPT,
    change_topic,
    domain_receipt_topic,
    domain_topic,
    group,
    sink_step,
    topics_of,
    withdrawal_topic,
)
from streams.clients import Partition
from streams.errors import UnavailableError
from streams.lag import Lag, LagReader

CONNECT_TIMEOUT_S = 10
#: Topics of the sinks' receipts.
_RECEIPTS: Final = [domain_receipt_topic(domain.id) for domain in DOMAINS.values() if domain.has_receipts]


@dataclass(frozen=True)
class StageLag:
    """Unprocessed input of a step: lag by partition, and `pending_other` operator commands and outbox rows."""

    step: str
    lags: Mapping[Partition, Lag] = field(default_factory=dict)
    pending_other: int = 0

    @property
    def remaining(self) -> int:
        """The number of unprocessed records, commands and rows: an upper bound, and 0 only if there are none."""
        return self.pending_other + sum(lag.remaining for lag in self.lags.values())

    @property
    def beyond_end(self) -> dict[Partition, Lag]:
        """The partitions whose next offset to read lies beyond the end of the log, so that nothing seems to remain."""
        return {partition: lag for partition, lag in self.lags.items() if lag.is_beyond_end}


class MeshInspector:
    """Reads the lag of each step and the sizes of the dead-letter queues.

    Reads lags from Kafka as `admin`, dead letters and stores as `auditor`. Keeps one connection to the stores
    until `close`.
    """

    def __init__(self, environment: Environment, installation: Installation) -> None:
        self._lag_reader = LagReader(environment.kafka(ADMIN) | {"log_level": "2"})
        self._dsn = environment.dsn(AUDITOR)
        self._store: psycopg.Connection[Any] | None = None
        topics = topics_of(installation.municipalities())
        self._dlq = DlqInspector(environment, codec(environment, installation))
        self._input_topics = [topic.name for topic in topics if topic.name.startswith("in.")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the stores."""
        if self._store is not None:
            self._store.close()

    def stages(self, tracker: bool = True) -> Iterator[StageLag]:
        """Yield each step's lag in processing order. Raise OperatorError (code 1) where a server doesn't answer."""
        try:
            lags = self._lag_reader.of_group(group("intake"), self._input_topics)
            # Intake publishes the commands: once it has no lag, all of them are on their topics.
            self._dlq.refresh()
            yield StageLag("intake", lags, self._dlq.pending_commands("intake"))
            yield self._group_lag("household", [NOTICE])
            yield self._group_lag("fan-out", [PERSON_CHANGE])
            yield self._group_lag("conversion", [PROTECTION, *(change_topic(domain) for domain in DOMAINS)])
            yield from self._sink_lags()
            yield self._group_lag("conversion", _RECEIPTS)
            if tracker:
                yield self._group_lag("tracker", [CASE_OPENED, CASE_DISPATCHED, RECEIPT])
        except (UnavailableError, psycopg.OperationalError) as error:
            raise OperatorError(
                f"a server doesn't answer ({type(error).__name__}); see `mesh status`", code=1
            ) from error

    def _group_lag(self, step: str, topics: Sequence[str]) -> StageLag:
        commands = self._dlq.pending_commands(step) if step in ORDERED_STEPS else 0
        return StageLag(step, self._lag_reader.of_group(group(step), topics), commands)

    def dlq_counts(self) -> dict[str, tuple[int, int]]:
        """Return, for each step with open dead letters, their number and the number of blocked records.

        Raise OperatorError as `stages` does.
        """
        try:
            statuses = self._dlq.statuses()
        except (UnavailableError, psycopg.OperationalError) as error:
            raise OperatorError(
                f"a server doesn't answer ({type(error).__name__}); see `mesh status`", code=1
            ) from error
        return {
            step: (len(status.dead_letters), status.blocked)
            for step, status in statuses.items()
            if status.dead_letters
        }

    def _sink_lags(self) -> Iterator[StageLag]:
        """Yield the lag of each sink. Sinks have their offsets in their stores; a missing store counts as unread."""
        if self._store is None or self._store.closed:
            self._store = psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        for domain in DOMAINS.values():
            try:
                status = store_status(self._store, domain)
            except psycopg.errors.UndefinedTable:
                status = StoreStatus({}, 0, 0)
            stored = {
                domain_topic(domain.id): status.next_offsets,
                withdrawal_topic(domain.id): status.withdrawal_offsets,
            }
            existing = self._lag_reader.of_group(group(sink_step(domain.id)), stored)
            positions = {(topic, number): stored[topic].get(number, 0) for topic, number in existing}
            lags = self._lag_reader.of_positions(positions, group(sink_step(domain.id)))
            lags |= {
                (topic, number): Lag(offset, 0, 0)
                for topic, offsets in stored.items()
                for number, offset in offsets.items()
                if (topic, number) not in existing
            }
            commands = self._dlq.pending_commands(sink_step(domain.id))
            outbox_rows = status.receipts_waiting + status.dead_letters_waiting
            yield StageLag(sink_step(domain.id), lags, commands + outbox_rows)
