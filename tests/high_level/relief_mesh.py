"""The four steps with system `relief` of the high level, and what its sink, an operator and a stranger see of them.

Everything here needs the package in `package` on the path, as `tests/attacks/test_high_level.py` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from infra.run.topology import INPUTS, schema_of
from processors.codes import MESH, CodeKind
from processors.conversion import ConversionProcessor
from processors.fan_out import FanOutProcessor
from processors.household import HouseholdProcessor
from processors.intake import IntakeProcessor
from schemas.tables import table_from_rows
from schemas.topics import conflict_topic, disclosure_topic, domain_topic, topics_of
from streams.clients import LocalMessage
from streams.contract import (
    Batch,
    Result,
    State,
    StatefulProcessor,
    StatelessProcessor,
    TableReadingProcessor,
)
from streams.sealed_rows import OpeningCodec, opened_rows
from streams.step import Step
from streams.submission_sealing import SubmissionSealer
from streams.testing.driver import TopologyTestDriver
from tests.unit.processors.submissions import (
    RECEIVED_MS,
    high_sealer,
    json_notice,
    json_person,
    key_ring,
    sink_sealers,
    submission_opener,
)

Row = dict[str, Any]

HERE: Final = "131041"
#: Two residents: one who gets relief, and one who doesn't.
HOLDER: Final = "42990000011"
OTHER: Final = "42990000022"
DOMAIN: Final = "relief"
KEYS: Final = key_ring()
DAY_MS: Final = 86_400_000


def mesh_code(resident_code: str) -> str:
    """Return the mesh code of a person."""
    (code,) = KEYS.cipher(MESH).codes(pa.array([resident_code]), CodeKind.PERSON).to_pylist()
    return str(code)


class InstalledFanOut:
    """Fan-out as it is installed: a worker that starts later may have other declarations."""

    def __init__(self, installed: FanOutProcessor) -> None:
        self.installed = installed

    @property
    def stores(self) -> Mapping[str, str]:
        """The schema in the catalogue of each store."""
        return self.installed.stores

    def process(self, batch: Batch, state: State) -> Result:
        """Process a batch with what is installed."""
        return self.installed.process(batch, state)


class ReliefMesh:
    """The four steps; submissions of others than `relief` are received a second after each other."""

    def __init__(self, seed: int | None = None, fan_out: FanOutProcessor | None = None) -> None:
        high, sinks = high_sealer(), sink_sealers()
        #: Whether the submitter seals, as `mesh ingest` does.
        self.seals = True
        self._fan_out = InstalledFanOut(fan_out or FanOutProcessor(sealer=high))
        processors: dict[str, StatelessProcessor | TableReadingProcessor | StatefulProcessor] = {
            "intake": IntakeProcessor(KEYS, high),
            "household": HouseholdProcessor(),
            "fan-out": self._fan_out,
            "conversion": ConversionProcessor(KEYS, high, sinks),
        }
        self.high, self._sink = high, sinks[DOMAIN]
        steps = [Step(name, INPUTS[name], schema_of(), each) for name, each in processors.items()]
        self.driver = TopologyTestDriver(steps, seed=seed)
        self.driver.add_schemas({topic.name: topic.schema for topic in topics_of([HERE])})
        self._received_ms = RECEIVED_MS

    def install(self, fan_out: FanOutProcessor) -> None:
        """Let a new worker of fan-out have other declarations."""
        self.driver.restart("fan-out")
        self._fan_out.installed = fan_out

    def submit(self, topic: str, schema: str, row: Row) -> None:
        """Append a submission to an input topic."""
        if not topic.startswith("in.relief"):
            self._received_ms += 1_000
        self.driver.pipe_input(topic, schema, [row], timestamp_ms=self._received_ms)

    def notice(self, number: int, reason: str = "初期登録", day: str = "2026-03-01", **person: Any) -> None:
        """Submit a notice of a municipality about one person."""
        persons = [json_person(local_number=f"131049{number:07}", household=f"131049{number:06}", **person)]
        if reason != "初期登録":
            persons = [{name: person[name] for name in person if name in ("code", "address")}]
        row = json_notice(
            notice=f"13104-{number}", reason=reason, effective_on=day, recorded_on=day, persons=persons
        )
        self.submit(f"in.juki.{HERE}", "juki-notice", row)

    def relief(self, number: int, code: str, event: str = "ReliefBegan", **fields: Any) -> None:
        """Submit an event of the high level."""
        row = {
            "event": event,
            "number": f"relief-number-{number}",
            "effective_on": "2026-03-05",
            "recorded_on": "2026-03-05",
            "code": code,
            "municipality": HERE,
            "file_number": "relief-file-1",
            **({"kind": "living-aid"} if event == "ReliefBegan" else {}),
        }
        topic, schema = f"in.relief.{HERE}", "submission-relief"
        if self.seals:
            table = table_from_rows(schema, [row | fields])
            sealer = SubmissionSealer(submission_opener().public_key)
            (row,) = sealer.sealed_table(topic, table).to_pylist()
            fields = {}
        self.submit(topic, schema, row | fields)

    def begin_day(self, day: str, days_later: int) -> None:
        """Submit a day of the clock, received so many days after the beginning."""
        self._received_ms = RECEIVED_MS + days_later * DAY_MS
        self.submit("in.clock", "day-begun", {"day": day})

    def run(self) -> ReliefMesh:
        """Process everything, and require that nothing became a dead letter."""
        self.driver.run()
        assert {step: self.driver.dead_letters(step) for step in INPUTS} == {step: [] for step in INPUTS}
        return self

    def domain_records(self) -> list[Row]:
        """Return the records of the domain's topic, as its sink opens them."""
        codec = OpeningCodec(self.driver.codec, self._sink, domain_topic(DOMAIN), "domain-relief")
        values = [record.value_bytes for record in self.driver.log.topic_records(domain_topic(DOMAIN))]
        decoded = codec.decode("domain-relief", values)
        assert not decoded.failures
        rows: list[Row] = decoded.table.to_pylist()
        return rows

    def stored(self, code: str | None = None) -> dict[tuple[str, ...], Row]:
        """Return the rows that the store has, by table and file number; of everybody, or of the only person."""
        rows: dict[tuple[str, ...], tuple[int, Row | None]] = {}
        for record in self.domain_records():
            content = record[record["entity"]]
            key = (record["entity"], record["code"], content.get("file_number", ""))
            if record["revision"] > rows.get(key, (0, None))[0]:
                rows[key] = record["revision"], content if record["op"] == "UPSERT" else None
        assert code is not None or len({of_person for _, of_person, _ in rows}) <= 1
        return {
            (table, file_number): row
            for (table, of_person, file_number), (_, row) in rows.items()
            if row is not None and code in (None, of_person)
        }

    def conflicts(self) -> list[Row]:
        """Return the conflicts of the system, as an operator with the keys opens them."""
        return self._opened(conflict_topic(DOMAIN), "conflict")

    def disclosures(self) -> list[Row]:
        """Return the disclosures to the domain, as an auditor with the keys opens them."""
        return self._opened(disclosure_topic(DOMAIN), "disclosure")

    def _opened(self, topic: str, schema: str) -> list[Row]:
        boxes = [row["sealed"] for row in self.driver.rows(topic)]
        rows = opened_rows(self.high, topic, schema, boxes)
        return [row for row in rows if not isinstance(row, str)]


def registered(*, seed: int | None = None) -> ReliefMesh:
    """Return a mesh with two residents."""
    mesh = ReliefMesh(seed)
    mesh.notice(1, code=HOLDER)
    mesh.notice(2, code=OTHER, name="別人　二郎", kana="ベツジン　ジロウ")
    return mesh


def records(mesh: ReliefMesh, topic: str) -> list[LocalMessage]:
    """Return the records of a topic, without the barriers of those who read changelogs."""
    every = mesh.driver.log.topic_records(topic)
    return [record for record in every if not (record.key_bytes or b"").startswith(b"barrier")]
