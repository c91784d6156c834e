"""The checks of `mesh apply` that need no server; the others are in tests/attacks."""

from __future__ import annotations

import json

import pytest

from infra.apply import checks
from infra.apply.checks import check_schema_files
from infra.apply.topics_and_acls import ApplyError
from schemas.catalogue import Catalogue
from schemas.topics import TopicDeclaration, topics_of

TOPIC = TopicDeclaration("receipt", "receipt", "P", (), ())


def test_the_released_schemas_are_accepted() -> None:
    """All topics of a mesh have theirs."""
    check_schema_files(topics_of(["131041"]))


def test_a_topic_without_a_schema_is_an_error() -> None:
    """The sentence says which file is missing."""
    with pytest.raises(
        ApplyError, match=r"domain\.library has schema domain-library.*domain-library/v1\.avsc"
    ):
        check_schema_files([TopicDeclaration("domain.library", "domain-library", "P", (), ())])


def test_a_changed_released_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records were written with what it was."""
    monkeypatch.setattr(checks, "changed_files", lambda: ["receipt/v1"])
    with pytest.raises(ApplyError, match=r"receipt/v1\.avsc was changed after its release"):
        check_schema_files([TOPIC])


FIELD = {"name": "a", "type": "string", "doc": "A field."}
OPTIONAL = {"name": "b", "type": ["null", "string"], "default": None, "doc": "Another one."}


def has_files(monkeypatch: pytest.MonkeyPatch, texts: dict[int, str]) -> None:
    """Let the catalogue have these versions of one schema, and nothing else."""
    monkeypatch.setattr(checks, "catalogue", lambda: Catalogue({"receipt": texts}))
    monkeypatch.setattr(checks, "schema_names", lambda: ("receipt",))
    monkeypatch.setattr(checks, "versions", lambda name: tuple(texts))
    monkeypatch.setattr(checks, "schema_text", lambda name, number: texts[number])
    monkeypatch.setattr(checks, "changed_files", list)


def schema(*fields: object) -> str:
    """Return a schema with these fields."""
    return json.dumps({"type": "record", "name": "R", "namespace": "jp.psm", "fields": fields})


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (schema(FIELD, OPTIONAL), None),
        (schema(FIELD, {"name": "b", "type": "string"}), "version 2, can't read records of version 1"),
        (schema({**FIELD, "type": ["null", "string"]}), "version 1, can't read records of version 2"),
        (schema({**FIELD, "type": "long"}), "can't read"),
        (schema({**FIELD, "type": "decimal"}), "v2.avsc is no schema"),
        ('{"type": "rec', "v2.avsc is no schema: not JSON"),
    ],
)
def test_versions_must_read_each_other(
    monkeypatch: pytest.MonkeyPatch, second: str, message: str | None
) -> None:
    """An optional field may be added. Nothing else passes that one of two releases could not read."""
    has_files(monkeypatch, {1: schema(FIELD), 2: second})
    if message is None:
        check_schema_files([TOPIC])
    else:
        with pytest.raises(ApplyError, match=message):
            check_schema_files([TOPIC])


@pytest.mark.parametrize(("versions", "missing"), [((1, 3), 2), ((2,), 1), ((), 1)])
def test_a_missing_version_is_an_error(
    monkeypatch: pytest.MonkeyPatch, versions: tuple[int, ...], missing: int
) -> None:
    """Versions are counted from 1; an empty folder is a schema's name and nothing else."""
    has_files(monkeypatch, dict.fromkeys(versions, schema(FIELD)))
    with pytest.raises(ApplyError, match=rf"has no schemas/avro/receipt/v{missing}\.avsc"):
        check_schema_files([TOPIC])


def test_a_file_in_another_encoding_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor may have saved it so."""
    has_files(monkeypatch, {1: ""})
    monkeypatch.setattr(checks, "schema_text", lambda name, number: "年金".encode("cp932").decode())
    with pytest.raises(ApplyError, match=r"receipt/v1\.avsc is not UTF-8"):
        check_schema_files([TOPIC])
