"""Output of `mesh dlq show` is valid input of `repair`; impossible requests get an error message."""

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
from infra.triage.dead_letter_listing import row_from_json
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
def test_a_shown_value_is_read_back_unchanged(name: str, data: st.DataObject) -> None:
    """JSON of a record, with dates, times and lists, gives the same record again."""
    schema = catalogue().schema(name)
    for row in data.draw(rows(schema.type, max_size=2)):
        table = table_from_rows(name, [row])
        fields = orjson.loads(orjson.dumps(table.to_pylist()[0]))
        assert table_from_rows(name, [row_from_json(fields, schema.arrow)]).equals(table)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"effective_on": "tomorrow"}, ValueError),
        ({"facts": "none"}, AttributeError),
        ({"effective_on": 3}, TypeError),
        ({"nonsense": 1}, EncodeError),
    ],
)
def test_a_value_that_does_not_fit_the_schema_is_rejected(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    """Values of a wrong type and unknown fields are errors before a command is submitted."""
    with pytest.raises(error):
        table_from_rows("person-change", [row_from_json(fields, catalogue().arrow_schema("person-change"))])


def test_the_store_decides_which_dead_letters_of_a_sink_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delayed relay may publish OPEN after RETRIED. The status is OPEN only if the store has the dead letter."""

    def published(
        offset: int, status: str, step: str = "sink.nta", value: bytes | None = None
    ) -> dict[str, Any]:
        position = {"topic": "domain.nta", "partition": 0, "offset": offset, "timestamp_ms": 0}
        row = {"step": step, "digest": f"d{offset}", "status": status, "reason": "23514", "value": value}
        return {**row, **position, "command": None, "dismissal_reason": None}

    rows = [
        row
        for offset in (1, 2)
        for row in (
            published(offset, "OPEN", value=b"x"),
            published(offset, "RETRIED"),
            published(offset, "OPEN", value=b"x"),
        )
    ]
    rows.append(published(3, "OPEN", "conversion", value=b"x"))
    statuses = {"sink.nta": DlqStatus({"d2": 4}), "conversion": DlqStatus({"d3": 1})}
    monkeypatch.setattr(dead_letter_listing, "read_rows_with_positions", lambda *arguments: rows)
    inspector = SimpleNamespace(statuses=lambda steps: statuses)
    monkeypatch.setattr(dead_letter_listing, "DlqInspector", lambda *arguments: inspector)
    listed = dead_letter_listing.list_dead_letters(None, None)  # type: ignore[arg-type]
    assert [(row["id"], row["status"], row["blocked"]) for row in listed] == [
        ("sink.nta/d1", "RETRIED", 0),
        ("sink.nta/d2", "OPEN", 4),
        ("conversion/d3", "OPEN", 1),
    ]


def test_one_command_dismisses_all_open_dead_letters_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, or those whose reason begins so; each ID once, however many dead letters have it."""

    def published(offset: int, digest: str, reason: str, status: str = "OPEN") -> dict[str, Any]:
        row = {"step": "intake", "topic": "in.portal", "partition": 0, "offset": offset, "value": b"x"}
        return {**row, "digest": digest, "reason": reason, "status": status}

    rows = [
        published(1, "d1", "schema-id-unknown"),
        published(2, "d2", "schema-id-unknown"),
        published(2, "d2", "schema-id-unknown", "DISMISSED"),
        published(3, "d1", "schema-id-unknown"),
        published(4, "d4", "unexpected:ValueError"),
    ]
    monkeypatch.setattr(dead_letter_listing, "read_rows_with_positions", lambda *arguments: rows)
    commands: list[dict[str, Any]] = []
    monkeypatch.setattr(
        dead_letter_listing, "submit_command", lambda environment, codec, command: commands.append(command)
    )

    def dismiss_all(failure: str | None) -> int:
        return dead_letter_listing.dismiss_all(None, None, "intake", "an attack", failure)  # type: ignore[arg-type]

    assert (dismiss_all(None), dismiss_all("schema-id")) == (3, 2)
    assert [command["dead_letter"]["digests"] for command in commands] == [["d1", "d4"], ["d1"]]
    for command in commands:
        assert table_from_rows("operator-command", [command]).num_rows == 1
    with pytest.raises(OperatorError, match="no such dead letter"):
        dismiss_all("null-value")
    assert len(commands) == 2


def test_the_content_of_a_dead_letter_needs_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another key, no key file, or a content sealed for another dead letter is an error without content."""
    codec = Codec(catalogue(), LocalSchemaIds(catalogue()))
    own, other, without_keys = (Installation(tmp_path / name) for name in ("own", "other", "without-keys"))
    for installation in (own, other):
        ensure_keys(installation.key_file)
    content = b"a name, and an address"
    row = {"step": "conversion", "topic": "change.nta", "partition": 0, "offset": 7, "timestamp_ms": 0}
    row |= {
        "status": "OPEN",
        "reason": "poison",
        "command": None,
        "dismissal_reason": None,
        "sealed": True,
        "key": None,
    }

    def use_dead_letter(digest: str, sealed_for: str) -> None:
        value = sealer(own.key_file).seal(content, seal_context("conversion", sealed_for, "value"))
        dead_letter = {**row, "digest": digest, "value": value}
        monkeypatch.setattr(dead_letter_listing, "read_rows_with_positions", lambda *arguments: [dead_letter])

    use_dead_letter("d1", sealed_for="d1")
    # No server has the fingerprints here; tests/attacks has a key file with other keys.
    monkeypatch.setattr(dead_letter_listing, "require_installed_keys", lambda *arguments: None)

    def show(installation: Installation) -> dict[str, Any]:
        return dead_letter_listing.read_dead_letter(None, codec, installation, "conversion/d1")  # type: ignore[arg-type]

    assert base64.b64decode(show(own)["bytes"]) == content
    with pytest.raises(OperatorError, match="no longer in the key file") as error:
        show(other)
    assert "name" not in str(error.value)
    with pytest.raises(KeyFileError):
        show(without_keys)
    use_dead_letter("d1", sealed_for="d2")
    with pytest.raises(OperatorError):
        show(own)


@pytest.mark.parametrize(
    "words",
    [
        ["dismiss", "conversion/0123", "--reason", " "],
        ["dismiss", "conversion/0123"],
        ["dismiss", "--reason", "x"],
        ["dismiss", "--reason", "x", "--all"],
        ["dismiss", "--reason", "x" * 501, "--all", "--step", "intake"],
        ["dismiss", "--reason", "x", "--all", "--step", "tracker"],
        ["dismiss", "--reason", "x", "--step", "intake"],
        ["dismiss", "conversion/0123", "--reason", "x", "--all", "--step", "intake"],
        ["repair", "conversion/0123", "--value", "nowhere.json"],
        ["retry", "conversion/0123"],
    ],
)
def test_impossible_requests_exit_with_2(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a reason, a file or servers, the command prints a message and no traceback."""
    monkeypatch.setenv("MESH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["dlq", *words])
    assert result.exit_code == 2
    assert "Traceback" not in result.output
