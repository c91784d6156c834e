"""Boxes and digests of the high level, and records that go to the partition of another key than their own."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.systems.model import SEALED_RECORD
from schemas.tables import table_from_rows
from streams.contract import Output
from streams.errors import NotConfiguredError
from streams.high_level import HighSealer, required
from streams.sealed_rows import OpeningCodec, opened_rows, row_of_json, sealed_rows, sealed_table
from streams.sealing import SealedError
from streams.submission_sealing import SubmissionOpener, SubmissionSealer

pytestmark = pytest.mark.unit

OLD, NEW = b"o" * 64, b"n" * 64
SEALER = HighSealer([OLD])
CONFLICT = {
    "id": "c",
    "kind": "EVENT_WITHOUT_EFFECT",
    "person": "p",
    "effective_on": date(2026, 3, 5),
    "status": "OPEN",
}


@given(st.binary(max_size=5_000))
def test_a_box_gives_its_content_back(content: bytes) -> None:
    """Equal content gives equal boxes in one context, and another one in another."""
    box = SEALER.seal(content, "a")
    assert SEALER.open(box, "a") == content
    assert SEALER.seal(content, "a") == box != SEALER.seal(content, "b")
    with pytest.raises(SealedError):
        SEALER.open(box, "b")


def test_boxes_have_few_sizes() -> None:
    """A power of two of bytes, and beyond 64 KiB multiples of that."""
    lengths = {len(SEALER.seal(b"x" * size, "a")) for size in range(0, 4_000, 7)}
    assert len(lengths) == 3
    assert len(SEALER.seal(b"x" * 70_000, "a")) == len(SEALER.seal(b"x" * 131_000, "a"))


@pytest.mark.parametrize("box", ["", "no box", "AAAA", "💥", "A" * 2_000])
def test_what_is_no_box_is_not_opened(box: str) -> None:
    """Whatever somebody writes instead."""
    with pytest.raises(SealedError):
        SEALER.open(box, "a")


def test_an_older_key_opens_and_makes_digests() -> None:
    """The newest seals. The digests stay, because keys of state depend on them."""
    renewed = HighSealer([NEW, OLD])
    assert renewed.open(SEALER.seal(b"before", "a"), "a") == b"before"
    with pytest.raises(SealedError):
        SEALER.open(renewed.seal(b"after", "a"), "a")
    assert renewed.digest("person", "a") == SEALER.digest("person", "a") != SEALER.digest("person", "b")
    assert HighSealer([NEW]).digest("person", "a") != SEALER.digest("person", "a")


def test_a_step_without_keys_says_so() -> None:
    """It doesn't go on without what is of the high level."""
    with pytest.raises(NotConfiguredError):
        required(None)
    assert required(SEALER) is SEALER


def test_rows_come_back_with_their_types() -> None:
    """Days, lists and records in a record; what has no value is left out."""
    table = table_from_rows("conflict", [CONFLICT])
    (opened,) = opened_rows(SEALER, "t", "conflict", sealed_rows(SEALER, "t", table))
    assert isinstance(opened, dict)
    assert table_from_rows("conflict", [opened]).to_pylist() == table.to_pylist()


def test_a_row_of_before_is_completed() -> None:
    """What the schema has got since is null or an empty list, also in the records of a list."""
    fields = catalogue().arrow_schema("state-fan-out-entities")
    before = {"submissions": [{"system": "s", "number": "1", "effective_on": "2026-03-05"}]}
    row = row_of_json(before, fields, complete=True)
    assert row["rows"] == []
    (submission,) = row["submissions"]
    assert (submission["effective_on"], submission["part"], submission["fields"]) == (
        date(2026, 3, 5),
        None,
        [],
    )
    assert row_of_json(before, fields).keys() == {"submissions"}


def test_a_codec_opens_the_records_of_one_topic() -> None:
    """Those that can't be opened are failures, a tombstone is one as ever; other schemas are as before."""
    plain = Codec(catalogue(), LocalSchemaIds(catalogue()))
    codec = OpeningCodec(plain, SEALER, "t", "conflict")
    days = [(str(number), date(2026, 3, number)) for number in (1, 2)]
    table = table_from_rows("conflict", [CONFLICT | {"id": id_, "effective_on": day} for id_, day in days])
    values = plain.encode(SEALED_RECORD, sealed_table(SEALER, "t", table)).to_pylist()
    foreign = plain.encode(SEALED_RECORD, sealed_table(SEALER, "u", table.slice(0, 1))).to_pylist()
    decoded = codec.decode("conflict", [values[0], None, *foreign, b"x", values[1]])
    assert decoded.table.column("id").to_pylist() == ["1", "2"]
    assert decoded.row_indices.to_pylist() == [0, 4]
    assert decoded.tombstones == (1,)
    assert [(each.index, each.reason) for each in decoded.failures] == [
        (2, "sealed-otherwise"),
        (3, "not-wire-format"),
    ]
    other = table_from_rows("day-begun", [{"day": "2026-01-01"}])
    assert codec.decode("day-begun", plain.encode("day-begun", other)).table.num_rows == 1


def test_an_output_goes_one_way() -> None:
    """To the partitions of a key, or to one, or to all."""
    table = table_from_rows("day-begun", [{"day": "2026-01-01"}])
    key = pa.array(["k"])
    with pytest.raises(ValueError, match="one partition"):
        Output("t", "day-begun", table, key, partition=1, partition_key=key)
    with pytest.raises(ValueError, match="one partition"):
        Output("t", "day-begun", table, key, broadcast=True, partition_key=key)


def test_a_submission_is_sealed_for_intake_alone() -> None:
    """Each time another box of the same size; only the private key opens it, for its own topic."""
    opener = SubmissionOpener([NEW, OLD])
    sealer = SubmissionSealer(opener.public_key)
    first, second = (sealer.seal(b"content", "in.a.1") for _ in range(2))
    assert first != second
    assert len(first) == len(second)
    assert opener.open(first, "in.a.1") == opener.open(second, "in.a.1") == b"content"
    older = SubmissionSealer(SubmissionOpener([OLD]).public_key).seal(b"before", "in.a.1")
    assert opener.open(older, "in.a.1") == b"before"
    for topic, others in (("in.a.2", opener), ("in.a.1", SubmissionOpener([OLD]))):
        with pytest.raises(SealedError):
            others.open(first, topic)


@pytest.mark.parametrize("box", ["", "no box", "A" * 44, "A" * 43 + "=", "💥" * 100, "A" * 2_000])
def test_what_is_no_box_of_a_submission_is_not_opened(box: str) -> None:
    """Whatever a submitter writes instead, also a public key of zeros."""
    with pytest.raises(SealedError):
        SubmissionOpener([OLD]).open(box, "in.a.1")
