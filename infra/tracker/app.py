"""The tracker as a Faust app: it reads three topics into a table of cases.

The table's changelog (`state.tracker.cases`) is declared, compacted and in Avro, like the other changelogs. Events are
applied in batches, each with one decode, one read of the table and one encode.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

import faust
import pyarrow as pa

from infra.run.settings import TrackerSettings
from infra.tracker.cases import SCHEMA, case_of, row_of
from infra.tracker.transport import CommittedTransport
from processors.tracking import CaseEvent, TrackedCase, case_event
from schemas.codec import Codec
from schemas.tables import table_from_rows
from schemas.topics import CASE_DISPATCHED, CASE_OPENED, RECEIPT, group, state_topic, transactional_id

#: Schema of each topic that the tracker reads.
INPUTS = {CASE_OPENED: "case-opened", CASE_DISPATCHED: "case-dispatched", RECEIPT: "receipt"}


class CaseTable:
    """Cases by key (`municipality/notice`, as bytes), stored as encoded rows in a Faust table or another mapping."""

    def __init__(self, codec: Codec, table: Any) -> None:
        self._codec = codec
        self._table = table

    def apply(self, events_by_key: Mapping[str, Iterable[CaseEvent]]) -> None:
        """Apply events, by the key of their case, and write the cases that changed."""
        before = self._read_cases(list(events_by_key))
        after = {key: before.get(key, TrackedCase()).apply(events) for key, events in events_by_key.items()}
        changed = {key: case for key, case in after.items() if before.get(key) != case}
        if changed:
            rows = table_from_rows(SCHEMA, [row_of(key, case) for key, case in changed.items()])
            for key, value in zip(changed, self._codec.encode(SCHEMA, rows).to_pylist(), strict=True):
                self._table[key.encode()] = value

    def read_all(self) -> pa.Table:
        """Return every case of this worker, one per row."""
        return self._codec.decode(SCHEMA, list(self._table.values())).table

    def read_row(self, key: str) -> dict[str, Any] | None:
        """Return the row of one case, or None."""
        value = self._table.get(key.encode())
        return None if value is None else self._codec.decode(SCHEMA, [value]).table.to_pylist()[0]

    def _read_cases(self, keys: list[str]) -> dict[str, TrackedCase]:
        values = {key: value for key in keys if (value := self._table.get(key.encode())) is not None}
        rows = self._codec.decode(SCHEMA, list(values.values())).table.to_pylist()
        return dict(zip(values, map(case_of, rows), strict=True))


def events_by_case(codec: Codec, values: Mapping[str, list[bytes]]) -> dict[str, list[CaseEvent]]:
    """Return the events of each case, from encoded values by topic. Receipts without a case are skipped."""
    events: dict[str, list[CaseEvent]] = defaultdict(list)
    for topic, encoded in values.items():
        for row in codec.decode(INPUTS[topic], encoded).table.to_pylist():
            if row["case"]:
                events[f"{row['case']['municipality']}/{row['case']['notice']}"].append(
                    case_event(INPUTS[topic], row)
                )
    return events


def create_app(
    kafka: Mapping[str, str], codec: Codec, settings: TrackerSettings, partitions: int
) -> tuple[faust.App, CaseTable]:
    """Return the Faust app and its table of cases.

    `kafka` are librdkafka properties, `partitions` is the number of partitions of the topics that the app reads.
    """
    app = faust.App(
        group("tracker"),
        broker=[f"kafka://{address}" for address in kafka["bootstrap.servers"].split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=partitions,
        web_enabled=False,
        stream_wait_empty=False,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        # As a static member a restarted tracker gets its partitions at once, and no rebalance disturbs its restore.
        consumer_group_instance_id=transactional_id("tracker", 0),
        consumer_auto_offset_reset="earliest",
        worker_redirect_stdouts=False,
    )
    app.transport = CommittedTransport(app.conf.broker, app)
    changelog = _raw_topic(app, state_topic("tracker", "cases"))
    table = app.Table("cases", partitions=partitions, changelog_topic=changelog, use_partitioner=True)
    cases = CaseTable(codec, table)

    @app.agent(_raw_topic(app, *INPUTS), name="cases")  # type: ignore[untyped-decorator, unused-ignore]
    async def follow(stream: Any) -> None:
        # The partitioner needs the changelog's partitions, and aiokafka loads a topic's metadata only on request.
        await app.producer._ensure_producer().partitions_for(changelog.get_topic_name())  # type: ignore[attr-defined]
        batches: AsyncIterable[Any] = stream.take_events(settings.batch_records_max, settings.batch_wait_s)
        async for events in batches:
            values: dict[str, list[bytes]] = defaultdict(list)
            for event in events:
                values[event.message.topic].append(event.message.value)
            cases.apply(events_by_case(codec, values))

    return app, cases


def _raw_topic(app: faust.App, *names: str) -> Any:
    return app.topic(*names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def _credentials(kafka: Mapping[str, str]) -> faust.SASLCredentials | None:
    if "sasl.username" not in kafka:
        return None
    return faust.SASLCredentials(
        username=kafka["sasl.username"], password=kafka["sasl.password"], mechanism=kafka["sasl.mechanism"]
    )
