"""What a stranger sees of system `relief`; `tests/attacks/test_high_level.py` runs these checks with its package."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.events.source import EventsSource
from connectors.publish import KafkaPublisher, ingest
from schemas.submission_schemas import RESUBMISSION_FIELDS, fields_of_resubmission, resubmission_in
from schemas.systems.model import SEALED_RECORD
from schemas.topics import PERSON_CHANGE, topics_of
from streams.sealed_rows import opened_rows
from streams.submission_sealing import SubmissionSealer
from tests.high_level.relief_mesh import HERE, HOLDER, OTHER, ReliefMesh, mesh_code, records, registered
from tests.unit.processors.submissions import RECEIVED_MS, submission_opener

pytestmark = pytest.mark.unit

#: What only belongs to the high level: names of the system, its entity and events, and values of its fields.
WORDS = ("relief", "Relief", "living-aid", "housing-aid", "救護")
DIGEST = re.compile(r"[0-9a-f]{32}")

#: Topics that only exist because of the high level, with the sealed records of `person.change` and the submissions.
OWN = {
    "in.relief.131041", "change.relief", "domain.relief", "disclosure.relief", "conflict.relief", "rejected.relief",
    "state.fan-out.sealed",
}  # fmt: skip


def story(*, with_relief: bool) -> ReliefMesh:
    """Return a mesh after what happens to two residents; with relief, one of them gets it until it ends."""
    mesh = registered().run()
    if with_relief:
        mesh.relief(1, HOLDER, until_on="2026-09-10", remark="relief remark")
        mesh.relief(2, HOLDER, "ReliefChanged", kind="housing-aid", until_on="2026-09-10")
        mesh.relief(3, HOLDER)  # It is open already: a conflict.
        mesh.relief(3, HOLDER)  # A duplicate.
        mesh.run()
    mesh.notice(1001, "転居", "2026-08-01", code=HOLDER, address="東京都新宿区新しい町1番1号")
    mesh.notice(1002, "転居", "2026-08-01", code=OTHER, address="東京都新宿区新しい町2番2号")
    mesh.run()
    mesh.begin_day("2026-09-15", 14)
    mesh.run()
    mesh.notice(1003, "死亡", "2026-09-14", code=HOLDER)
    return mesh.run()


def in_clear(mesh: ReliefMesh) -> dict[str, list[tuple[int, bytes | None, bytes | None]]]:
    """Return every record that exists without the high level too: partition, key and value by topic.

    Left out are the days' positions among the persons of the high level, and the records by which they go on.
    """
    found = {}
    for topic in mesh.driver.topics():
        if topic in OWN or topic == "state.fan-out.clock":
            continue
        kept = records(mesh, topic)
        if topic == PERSON_CHANGE:
            values = [record.value for record in mesh.driver.records(topic)]
            kept = [
                record
                for record, value in zip(kept, values, strict=True)
                if value and not value["sealed"] and value["kind"] != "CONTINUE"
            ]
        found[topic] = [(record.partition(), record.key_bytes, record.value_bytes) for record in kept]
    return found


def test_nothing_else_changes_anywhere() -> None:
    """With somebody on relief or without, every record of all other topics is the same, byte by byte."""
    with_relief, without = story(with_relief=True), story(with_relief=False)
    found, expected = in_clear(with_relief), in_clear(without)
    assert {topic: found[topic] for topic in found if found[topic] != expected.get(topic, [])} == {}
    assert expected.keys() <= found.keys()
    assert with_relief.domain_records()
    days = [mesh.driver.records("state.fan-out.clock")[-1].value for mesh in (with_relief, without)]
    assert days[0] == days[1]


def test_no_topic_names_whom_it_is_about() -> None:
    """No record has both the person and anything of the high level, not even the submission that its submitter sealed.

    Sealed records have neither, and their keys are digests, another one in each topic.
    """
    mesh, code = story(with_relief=True), mesh_code(HOLDER)
    keys: dict[str, set[str]] = {}
    for topic in mesh.driver.topics():
        for record in records(mesh, topic):
            content = (record.key_bytes or b"") + (record.value_bytes or b"")
            if topic == "rejected.relief":
                continue
            assert not any(word.encode() in content for word in WORDS), topic
            if topic in OWN and record.value_bytes is not None:
                assert code.encode() not in content, topic
                assert HOLDER.encode() not in content, topic
            if topic in OWN and record.key_bytes is not None:
                keys.setdefault(topic, set()).add((record.key_bytes or b"").decode())
    for row in mesh.driver.rows("rejected.relief"):
        assert not any(code in str(row) or HOLDER in str(row) for code in (code, HOLDER))
    sealed = [row for row in mesh.driver.records(PERSON_CHANGE) if row.value and row.value["sealed"]]
    keys[PERSON_CHANGE] = {row.key or "" for row in sealed}
    assert {len(keys[topic]) for topic in keys if topic != "conflict.relief"} == {1}
    every_key = [key for of_topic in keys.values() for key in of_topic]
    assert all(map(DIGEST.fullmatch, every_key))
    assert len(set(every_key)) == len(every_key)
    for each in sealed:
        value = each.value or {}
        assert (value["person"], value["kind"], value["effective_on"]) == (
            each.key,
            "EVENT",
            date(1970, 1, 1),
        )
        assert not any(value[name] for name in ("municipality", "event", "domain", "case", "facts"))
        assert (value["origin"]["topic"], value["origin"]["offset"]) == ("", 0)


def test_records_have_few_sizes_and_one_time() -> None:
    """A short and a long remark, an upsert and a deletion, one person's submissions and another's: one size.

    No timestamp says a day of effect.
    """
    mesh = registered()
    mesh.relief(1, HOLDER)
    mesh.relief(2, OTHER, file_number="relief-file-2", remark="長い備考" * 20, until_on="2026-12-31")
    mesh.relief(3, HOLDER, "ReliefEnded")
    mesh.run()
    for topic in OWN - {"rejected.relief", "conflict.relief"}:
        sealed = [record for record in records(mesh, topic) if record.value_bytes]
        assert len({len(record.value_bytes or b"") for record in sealed}) == 1, topic
        if topic.partition(".")[0] in ("change", "domain", "disclosure"):
            assert {record.timestamp_ms for record in sealed} == {1}


def test_a_long_record_is_in_a_larger_box() -> None:
    """Boxes double, so of a length only the step shows; the content is whole."""
    mesh = registered()
    mesh.relief(1, HOLDER, remark="備" * 2_000)
    mesh.relief(2, OTHER, file_number="relief-file-2", remark="備" * 1_900)
    mesh.run()
    assert {row["relief"]["remark"] for row in mesh.domain_records() if row["relief"]} == {
        "備" * 2_000,
        "備" * 1_900,
    }
    sizes = {len(record.value_bytes or b"") for record in records(mesh, "domain.relief")}
    assert len(sizes) == 2


def test_a_replay_gives_the_same_bytes() -> None:
    """Nothing in a box is random."""
    first, second = story(with_relief=True), story(with_relief=True)
    for topic in OWN - {"disclosure.relief", "in.relief.131041"}:
        assert [(r.key_bytes, r.value_bytes) for r in records(first, topic)] == [
            (r.key_bytes, r.value_bytes) for r in records(second, topic)
        ], topic


def test_sealed_records_are_in_the_partition_of_the_person() -> None:
    """So they are processed with the person's other records, though their keys are others."""
    mesh = registered()
    for number, code in enumerate((HOLDER, OTHER)):
        mesh.relief(number, code, file_number=f"relief-file-{number}")
    mesh.run()
    partitions: dict[str, set[int]] = {}
    for row in mesh.driver.records(PERSON_CHANGE):
        if row.value and row.value["person"]:
            partitions.setdefault(row.value["person"], set()).add(row.partition)
    plain = [partitions[mesh_code(code)] for code in (HOLDER, OTHER)]
    sealed = [of_key for person, of_key in partitions.items() if DIGEST.fullmatch(person)]
    assert sorted(map(sorted, plain)) == sorted(map(sorted, sealed))


def test_a_submission_may_be_in_clear_or_sealed() -> None:
    """It is the same submission: the second is a duplicate. One that can't be opened is rejected."""
    mesh = registered().run()
    mesh.relief(1, HOLDER)
    mesh.seals = False
    mesh.relief(1, HOLDER)
    mesh.run()
    assert [row["code"] for row in mesh.driver.rows("rejected.relief")] == ["DUPLICATE"]
    assert len(mesh.stored()) == 2
    sealed = SubmissionSealer(submission_opener().public_key).seal(b"{}", "in.relief.012033")
    for box in (sealed, "no box", ""):
        mesh.submit(f"in.relief.{HERE}", "submission-relief", {"file": "f", "line": 3, "sealed": box})
    mesh.run()
    rejected = [row["code"] for row in mesh.driver.rows("rejected.relief")]
    assert sorted(rejected) == ["DUPLICATE", "UNREADABLE", "UNREADABLE", "UNREADABLE"]


def test_a_file_is_sealed_as_it_is_ingested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line, also one that can't be parsed; intake rejects that one with the reason of the source."""
    mesh, published = registered().run(), list[bytes]()
    monkeypatch.setattr(KafkaPublisher, "_producer", lambda *_: None)
    monkeypatch.setattr(KafkaPublisher, "_produce", lambda _, __, ___, value: published.append(value))
    monkeypatch.setattr(KafkaPublisher, "prepare", lambda *_: None)
    row = {"event": "ReliefBegan", "number": "relief-1", "effective_on": "2026-03-05", "kind": "living-aid"}
    row |= {"recorded_on": "2026-03-05", "code": HOLDER, "municipality": HERE, "file_number": "relief-file-1"}
    file = tmp_path / f"relief_{HERE}.jsonl"
    file.write_text(json.dumps(row) + '\n{"code": "' + HOLDER + '", "kin\n', "utf-8")
    seal = SubmissionSealer(submission_opener().public_key).sealed_table
    ingest(EventsSource("relief", file), KafkaPublisher(lambda user: {}, mesh.driver.codec, seal=seal))
    assert len(published) == 2
    for value in published:
        assert HOLDER.encode() not in value
        mesh.driver.pipe_bytes(f"in.relief.{HERE}", value, timestamp_ms=RECEIVED_MS)
    mesh.run()
    assert len(mesh.stored()) == 2
    (rejected,) = mesh.driver.rows("rejected.relief")
    assert (rejected["code"], rejected["origin"]["line"]) == ("UNREADABLE", 2)


def test_an_operator_submits_nothing_of_it_again() -> None:
    """The command would have it in clear."""
    with pytest.raises(KeyError):
        fields_of_resubmission("submission-relief", {"event": "ReliefBegan"})
    values = [{"name": "event", "value": "ReliefBegan"}]
    command = dict.fromkeys(RESUBMISSION_FIELDS.values())
    declared = {"schema": "submission-relief", "values": values}
    assert resubmission_in({**command, "declared": declared}) is None


def test_a_box_of_another_topic_or_key_is_a_dead_letter() -> None:
    """Nor is a record taken in clear, though it is of the high level. Others are processed meanwhile."""
    mesh = registered()
    mesh.relief(1, HOLDER)
    mesh.run()
    (moved,) = [row for row in mesh.driver.rows("change.relief") if row][:1]
    mesh.driver.pipe_input("domain.relief", SEALED_RECORD, [moved], "x")
    mesh.driver.pipe_input("change.relief", SEALED_RECORD, [{"sealed": "no box"}], "x")
    change = next(row for row in mesh.driver.rows(PERSON_CHANGE) if row["sealed"])
    mesh.driver.pipe_input(PERSON_CHANGE, "person-change", [change | {"sealed": moved["sealed"]}], "x")
    (opened,) = mesh_rows(mesh, change["sealed"])
    mesh.driver.pipe_input(PERSON_CHANGE, "person-change", [change | opened | {"sealed": None}], "y")
    mesh.driver.run()
    reasons = sorted(
        row["reason"] for step in ("fan-out", "conversion") for row in mesh.driver.dead_letters(step)
    )
    assert reasons == ["not sealed", "sealed-otherwise", "sealed-otherwise"]


def mesh_rows(mesh: ReliefMesh, box: str) -> list[dict[str, Any]]:
    """Return the content of a sealed record of `person.change`."""
    return [
        row
        for row in opened_rows(mesh.high, PERSON_CHANGE, "person-change", [box])
        if not isinstance(row, str)
    ]


def test_rights_are_those_that_are_needed() -> None:
    """Nobody but the steps and the domain's own sink may read a sealed topic, beside the auditor, who has no key."""
    readers = {topic.name: set(topic.readers) - {"auditor"} for topic in topics_of([HERE])}
    assert {topic: readers[topic] for topic in sorted(OWN)} == {
        "change.relief": {"conversion"},
        "conflict.relief": set(),
        "disclosure.relief": set(),
        "domain.relief": {"sink.relief"},
        "in.relief.131041": {"intake"},
        "rejected.relief": set(),
        "state.fan-out.sealed": {"fan-out"},
    }
    assert not {"receipt.relief", "withdrawal.relief"} & readers.keys()
