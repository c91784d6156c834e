"""The stages of the way, and what is still on its way in each, looked at in the order in which records pass.

A stage looked at after those before it were done gets nothing more: so one pass from the first to the last that finds
nothing is proof that all is done, though it isn't one moment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import psycopg

from connectors.postgres.sink_status import StoreStatus, store_status
from infra.apply.installation import Installation
from infra.codec import codec
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
    RECEIPT,
    change_topic,
    domain_receipt_topic,
    domain_topic,
    group,
    sink_step,
    topics_of,
)
from streams.clients import Partition
from streams.errors import UnavailableError
from streams.lag import Lag, LagReader

CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class StageLag:
    """What a step still has before it: records by partition, officers' acts, rows of outboxes not relayed yet."""

    step: str
    lags: Mapping[Partition, Lag] = field(default_factory=dict)
    waiting: int = 0

    @property
    def remaining(self) -> int:
        """Records and rows left; an upper bound, 0 where there are none."""
        return self.waiting + sum(lag.remaining for lag in self.lags.values())


class MeshInspector:
    """Looks at servers as their administrator and at stores as the auditor; keeps connections until closed."""

    def __init__(self, environment: Environment, installation: Installation) -> None:
        self._progress = LagReader(environment.kafka(ADMIN) | {"log_level": "2"})
        self._dsn = environment.dsn(AUDITOR)
        self._store: psycopg.Connection[Any] | None = None
        topics = topics_of(installation.municipalities())
        self._aside = DlqInspector(environment, codec(environment, installation))
        self._handed_over = [topic.name for topic in topics if topic.name.startswith("in.")]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the connections."""
        if self._store is not None:
            self._store.close()

    def stages(self, tracker: bool = True) -> Iterator[StageLag]:
        """Each stage, in the order in which records pass. OperatorError: a server doesn't answer."""
        try:
            handed_over = self._progress.of_group(group("intake"), self._handed_over)
            # Whatever acts there will be are there once intake has nothing left.
            self._aside.refresh()
            yield StageLag("intake", handed_over, self._aside.acts_waiting("intake"))
            yield self._of_group("household", [NOTICE])
            yield self._of_group("fan-out", [PERSON_CHANGE])
            yield self._of_group("conversion", [change_topic(domain) for domain in DOMAINS])
            yield from self._sinks()
            yield self._of_group("conversion", [domain_receipt_topic(domain) for domain in DOMAINS])
            if tracker:
                yield self._of_group("tracker", [CASE_OPENED, CASE_DISPATCHED, RECEIPT])
        except (UnavailableError, psycopg.OperationalError) as error:
            raise OperatorError(f"a server doesn't answer ({type(error).__name__})", code=1) from error

    def _of_group(self, step: str, topics: Sequence[str]) -> StageLag:
        acts = self._aside.acts_waiting(step) if step in ORDERED_STEPS else 0
        return StageLag(step, self._progress.of_group(group(step), topics), acts)

    def aside(self) -> dict[str, tuple[int, int]]:
        """Open letters, and records parked behind them, of each step that has any. OperatorError as in `stages`."""
        try:
            found = self._aside.of()
        except (UnavailableError, psycopg.OperationalError) as error:
            raise OperatorError(f"a server doesn't answer ({type(error).__name__})", code=1) from error
        return {step: (len(each.letters), each.parked) for step, each in found.items() if each.letters}

    def _sinks(self) -> Iterator[StageLag]:
        """Sinks keep their offsets in their stores. A store that isn't there yet has had nothing."""
        if self._store is None or self._store.closed:
            self._store = psycopg.connect(self._dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
        for domain in DOMAINS.values():
            try:
                status = store_status(self._store, domain)
            except psycopg.errors.UndefinedTable:
                status = StoreStatus({}, 0, 0)
            topic = domain_topic(domain.id)
            known = self._progress.of_group(group(sink_step(domain.id)), [topic])
            positions = {place: status.next_offsets.get(place[1], 0) for place in known}
            lags = self._progress.of_positions(positions, group(sink_step(domain.id)))
            acts = self._aside.acts_waiting(sink_step(domain.id))
            yield StageLag(
                sink_step(domain.id), lags, acts + status.receipts_waiting + status.letters_waiting
            )
