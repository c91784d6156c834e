"""What `mesh dlq show` prints can be given back, and what can't be done is said in words."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.apply.installation import Installation
from infra.cli import app
from infra.errors import KeyFileError, OperatorError
from infra.key_file import sealer
from infra.keys import ensure_keys
from infra.triage import dead_letter_listing
from infra.triage.dead_letter_listing import row_of
from infra.triage.dlq_status import DlqStatus
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds
from schemas.tables import EncodeError, table_from_rows
from streams.dead_letters import seal_context
from tests.unit.schemas.generated import rows

NAMES = ("person-change", "notice", "domain-change", "domain-portal", "juki-cs-notice", "receipt-domain")


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_what_is_shown_can_be_given_back(name: str, data: st.DataObject) -> None:
    """Dates, moments, lists and all: the same record comes of it."""
    schema = catalogue().schema(name)
    for row in data.draw(rows(schema.type, max_size=2)):
        table = table_from_rows(name, [row])
        told = orjson.loads(orjson.dumps(table.to_pylist()[0]))
        assert table_from_rows(name, [row_of(told, schema.arrow)]).equals(table)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"effective_on": "tomorrow"}, ValueError),
        ({"facts": "none"}, AttributeError),
        ({"effective_on": 3}, TypeError),
        ({"nonsense": 1}, EncodeError),
    ],
)
def test_a_value_that_does_not_fit_is_refused(told: dict[str, Any], error: type[Exception]) -> None:
    """Before anything is filed."""
    with pytest.raises(error):
        table_from_rows("person-change", [row_of(told, catalogue().arrow_schema("person-change"))])


def test_the_store_knows_which_of_a_sinks_letters_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that stood still tells OPEN again after the end; of a letter that is open, that is so."""

    def said(offset: int, status: str, step: str = "sink.nta", value: bytes | None = None) -> dict[str, Any]:
        place = {"topic": "domain.nta", "partition": 0, "offset": offset, "timestamp_ms": 0}
        row = {"step": step, "digest": f"d{offset}", "status": status, "reason": "23514", "value": value}
        return {**row, **place, "command": None, "note": None}

    told = [said(1, "OPEN", value=b"x"), said(1, "RETRIED"), said(1, "OPEN", value=b"x")]
    told += [said(2, "OPEN", value=b"x"), said(2, "RETRIED"), said(2, "OPEN", value=b"x")]
    told += [said(3, "OPEN", "conversion", value=b"x")]
    aside = {"sink.nta": DlqStatus({"d2": 4}), "conversion": DlqStatus({"d3": 1})}
    monkeypatch.setattr(dead_letter_listing, "with_positions", lambda *given: told)
    monkeypatch.setattr(
        dead_letter_listing, "DlqInspector", lambda *given: SimpleNamespace(of=lambda steps: aside)
    )
    found = dead_letter_listing.listed(None, None)  # type: ignore[arg-type]
    assert [(row["id"], row["status"], row["blocked"]) for row in found] == [
        ("sink.nta/d1", "RETRIED", 0),
        ("sink.nta/d2", "OPEN", 4),
        ("conversion/d3", "OPEN", 1),
    ]


def test_what_a_letter_held_is_shown_with_its_key_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another installation, or without a key file, nobody learns anything; nor of a letter in another's place."""
    codec = Codec(catalogue(), LocalSchemaIds(catalogue()))
    ours, theirs, nobodys = (Installation(tmp_path / name) for name in ("ours", "theirs", "nobodys"))
    for installation in (ours, theirs):
        ensure_keys(installation.key_file)
    held = b"a name, and an address"
    row = {"step": "conversion", "topic": "change.nta", "partition": 0, "offset": 7, "timestamp_ms": 0}
    row |= {"status": "OPEN", "reason": "poison", "command": None, "note": None, "sealed": True, "key": None}

    def sealed(digest: str, of: str) -> dict[str, Any]:
        return {
            **row,
            "digest": digest,
            "value": sealer(ours.key_file).seal(held, seal_context("conversion", of, "value")),
        }

    monkeypatch.setattr(dead_letter_listing, "with_positions", lambda *given: [sealed("d1", "d1")])

    def show(installation: Installation) -> dict[str, Any]:
        return dead_letter_listing.shown(None, codec, installation, "conversion/d1")  # type: ignore[arg-type]

    assert base64.b64decode(show(ours)["bytes"]) == held
    with pytest.raises(OperatorError, match="no longer in the key file") as told:
        show(theirs)
    assert "name" not in str(told.value)
    with pytest.raises(KeyFileError):
        show(nobodys)
    monkeypatch.setattr(dead_letter_listing, "with_positions", lambda *given: [sealed("d1", "d2")])
    with pytest.raises(OperatorError):
        show(ours)


@pytest.mark.parametrize(
    "words",
    [
        ["dismiss", "conversion/0123", "--reason", " "],
        ["dismiss", "conversion/0123"],
        ["repair", "conversion/0123", "--value", "nowhere.json"],
        ["retry", "conversion/0123"],
    ],
)
def test_what_can_not_be_done_ends_with_two(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reason, no file, no servers: a sentence, no traceback."""
    monkeypatch.setenv("MESH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["dlq", *words])
    assert ended.exit_code == 2
    assert "Traceback" not in ended.output
