"""Generates the Avro files that follow from the declarations: submissions of entities, and changes for the domains.

`mesh systems generate` writes the files; a test compares them with the declarations. A released file never changes: a
declaration that has changed since gets its next version.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from schemas.declare import CANCELLED, ENROLLED, MEMBERS, EntityField, Reads
from schemas.schema_files import avro_folder, read_again, schema_names, schema_text, versions
from schemas.systems import PACKAGES, SYSTEMS, Domain, System
from schemas.systems._discovery import OWN_PACKAGE
from schemas.systems.model import SEALED, submission_schema

_DATE: Final = {"type": "int", "logicalType": "date"}
_AVRO_TYPES: Final[Mapping[str, Any]] = {"string": "string", "long": "long", "date": _DATE}

_PERSON_COLUMNS: Final[Mapping[str, tuple[Any, str]]] = {
    "name": ("string", "Name (氏名)."),
    "kana": ("string", "Reading in full-width katakana."),
    "roman": ("string", "Hepburn romanization of surname and given name, in capitals as in a passport."),
    "birth_date": (_DATE, "Date of birth."),
    "sex": ("string", "Sex (性別)."),
    "address": ("string", "Address; null if it is withheld or the row is closed."),
    "household_code": ("string", "The domain's code of the household."),
    "relationship": ("string", "Relationship to the head (続柄)."),
}
_ACCOUNT_COLUMNS: Final[Mapping[str, str]] = {
    "holder_kana": "Holder's name in kana.",
    "bank": "Bank code.",
    "branch": "Branch code.",
    "type": "Type of account.",
    "number": "Account number.",
}
_MESSAGE_COLUMNS: Final = (
    {
        "name": "case_code",
        "type": "string",
        "doc": "The portal's code of the case that the message is about.",
    },
    {"name": "reason", "type": "string", "doc": "Reason of change, in Japanese (異動事由).", "default": ""},
    {"name": "text", "type": "string", "doc": "The text, in Japanese.", "default": ""},
)
#: The days in the rows of a history.
_HISTORY_DAYS: Final[Mapping[str, str]] = {
    "valid_from": "First day of the period of which the row tells.",
    "valid_to": "Day after its last one; null if it hasn't ended yet.",
    "known_from": "Day of receipt, in Japan, by whose end this was known.",
    "known_to": "Day of receipt by whose end it was known otherwise; null if it is what is known now.",
}
_STATUS: Final = {
    "type": "enum",
    "name": "Status",
    "doc": "Status of a row, as the stores write it.",
    "symbols": ["active", "candidate", "closed", "unknown"],
    "default": "unknown",
}
#: The status of a row of a history by which nothing begins on its day any more.
_RETRACTED: Final = "retracted"
_OP: Final = {
    "type": "enum",
    "name": "Op",
    "doc": "What happens to the row.",
    "symbols": ["UPSERT", "DELETE", "UNKNOWN"],
    "default": "UNKNOWN",
}


def generated_schemas(system: System) -> dict[str, dict[str, Any]]:
    """Return every schema that follows from a system's declaration, by its name in the catalogue."""
    schemas = {submission_schema(system.id): _submission(system)} if system.owns else {}
    if system.domain is not None:
        schemas[system.domain.event] = _domain(system.domain, system.japanese)
    return schemas


def outdated(systems: Mapping[str, System] = SYSTEMS) -> dict[str, Path]:
    """Return the file to write for each schema whose newest file isn't what the declarations say, or that has none."""
    return {
        name: avro_folder(PACKAGES.get(system.id, OWN_PACKAGE)) / name / f"v{_newest_version(name) + 1}.avsc"
        for system in systems.values()
        for name, schema in generated_schemas(system).items()
        if _newest(name) != schema
    }


def write_outdated() -> list[Path]:
    """Write each schema that differs from its newest file as that name's next version. Return the new files."""
    files = outdated()
    schemas = {name: text for system in SYSTEMS.values() for name, text in generated_schemas(system).items()}
    for name, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schemas[name], indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    read_again()
    return list(files.values())


def _newest(name: str) -> Any:
    version = _newest_version(name)
    return json.loads(schema_text(name, version)) if version else None


def _newest_version(name: str) -> int:
    """Return the newest version of a name, 0 if there is no file."""
    return max(versions(name), default=0) if name in schema_names() else 0


def _submission(system: System) -> dict[str, Any]:
    by_name = {declared.name: declared for entity in system.owns for declared in entity.fields}
    events = [*system.event_names, CANCELLED]
    if system.domain is not None and system.domain.enrolment is not None:
        events.append(ENROLLED)
    fields = [
        _optional(
            "file",
            "string",
            "Name of the file from which it was read, without folders; null if from no file.",
        ),
        _optional(
            "line", "int", "Number of its line in the file, from 1; null if it was not read from a file."
        ),
        _optional("event", "string", f"What happened: {', '.join(events)}."),
        _optional(
            "number",
            "string",
            "Number of the submission, unique for its submitter (1 to 32 of A-Z a-z 0-9 -).",
        ),
        _optional("effective_on", "string", "Day on which it takes effect, YYYY-MM-DD."),
        _optional("recorded_on", "string", "Day on which the submitter recorded it, YYYY-MM-DD."),
        _optional("code", "string", "Resident record code (住民票コード) of the person."),
        *([_members(system)] if system.submits_members else []),
        _optional(
            "municipality",
            "string",
            "Municipality of a municipal system; null or empty otherwise.",
        ),
        _optional(
            "cancels", "string", f"Number of the submission that is taken back; only with {CANCELLED}."
        ),
        *(_optional(declared.name, "string", _doc(declared)) for declared in by_name.values()),
        _optional("raw", "string", "Base64 of the line, if the source could not parse it; else null."),
        _optional(
            "fault", "string", "Short code of the reason, if the source could not parse the line; else null."
        ),
    ]
    if system.is_high:
        fields.append(
            _optional(
                SEALED,
                "string",
                "The fields but file and line as JSON, sealed for intake; then these are null. Null: in clear.",
            )
        )
    return {
        "type": "record",
        "name": f"{_camel(system.id)}Submitted",
        "namespace": "jp.psm.intake",
        "doc": f"An event that {system.japanese} ({system.id}) submits. Not validated.",
        "fields": fields,
    }


def _members(system: System) -> dict[str, Any]:
    events = [event.name for entity in system.owns for event in entity.events if event.of_members]
    doc = (
        f"Resident record codes of all persons, instead of one in `code`: of {', '.join(events)},"
        f" and of {CANCELLED} for one of these."
    )
    return _optional(MEMBERS, {"type": "array", "items": "string"}, doc)


def _domain(domain: Domain, title: str) -> dict[str, Any]:
    fields: list[dict[str, Any]] = [
        {"name": "code", "type": "string", "doc": "The domain's code of the person; the key of the record."},
        {
            "name": "entity",
            "type": "string",
            "doc": f"The table concerned: {', '.join(_entities(domain))}.",
            "default": "",
        },
        {"name": "op", "type": _OP, "doc": "What happens to the row.", "default": "UNKNOWN"},
        {
            "name": "revision",
            "type": "long",
            "doc": "Revision of the person in this domain; the highest is the newest.",
        },
    ]
    if domain.municipal:
        fields.append(
            _optional("municipality", "string", "Municipality of the row (JIS X 0402 with check digit).")
        )
    fields += [
        {"name": "effective_on", "type": _DATE, "doc": "Day on which it takes effect (異動日)."},
        _optional("case_code", "string", "The domain's code of the case; null if there is no case."),
        *_known_from(domain),
        *_tables(domain),
    ]
    return {
        "type": "record",
        "name": f"{_camel(domain.id)}Changed",
        "namespace": "jp.psm.domain",
        "doc": (
            f"A change of a person for {title} ({domain.id}), in its own codes;"
            " only its sink and its own user may read it."
        ),
        "fields": fields,
    }


def _known_from(domain: Domain) -> Iterator[dict[str, Any]]:
    if domain.has_history:
        doc = (
            "Day of receipt, in Japan, by whose end this was known. A row of a person that has it is one of the"
            " history too: from `effective_on` on the person's row was this, until a later day has another one."
        )
        yield _optional("known_from", _DATE, doc)


def _entities(domain: Domain) -> list[str]:
    today = [
        ("PERSON", domain.has_persons),
        ("PERSON_HISTORY", domain.has_history),
        ("ACCOUNT", domain.has_accounts),
        ("MESSAGE", domain.has_messages),
    ]
    return [name for name, received in today if received] + [reads.name for reads in domain.readings]


def _tables(domain: Domain) -> Iterator[dict[str, Any]]:
    records = [*_records_of_today(domain), *map(_reading, domain.readings)]
    is_defined = False
    for name, record, meaning in records:
        # The first record with a status defines its type, and the others refer to it.
        for column in record["fields"]:
            if column["name"] == "status":
                column["type"] = "Status" if is_defined else _status_type(domain)
                is_defined = True
        yield _optional(name, record, meaning)


def _status_type(domain: Domain) -> dict[str, Any]:
    if not domain.has_history:
        return _STATUS
    *symbols, unknown = _STATUS["symbols"]
    doc = f"{_STATUS['doc']} Only a row of the history is retracted: nothing begins on its day any more."
    return {**_STATUS, "doc": doc, "symbols": [*symbols, _RETRACTED, unknown]}


#: A field's name, its record, and its meaning.
_Table = tuple[str, dict[str, Any], str]


def _records_of_today(domain: Domain) -> Iterator[_Table]:
    if domain.has_persons:
        columns = [_status(), *(_optional(name, *_PERSON_COLUMNS[name]) for name in domain.columns)]
        doc = "The person's row after the change, with the columns that this domain may receive."
        yield (
            "person",
            _record("Person", doc, columns),
            "The person's row, if the entity is PERSON or PERSON_HISTORY.",
        )
    if domain.has_accounts:
        id_ = {"name": "account", "type": "string", "doc": "The portal's ID of the account."}
        columns = [*([] if domain.paying else [id_]), _status()]
        columns += [_optional(name, "string", doc) for name, doc in _ACCOUNT_COLUMNS.items()]
        record = _record("Account", "The person's public-money account (公金受取口座).", columns)
        yield "account", record, "The account, if the entity is ACCOUNT."
    if domain.has_messages:
        record = _record("Message", "A message to the resident.", _MESSAGE_COLUMNS)
        yield "message", record, "The message, if the entity is MESSAGE."


def _reading(reads: Reads) -> _Table:
    docs = {declared.name: _doc(declared) for declared in reads.fields}
    if reads.is_history:
        docs |= _HISTORY_DAYS
    columns = [_status()]
    columns += [
        _optional(declared.name, _AVRO_TYPES[declared.type], docs[declared.name]) for declared in reads.fields
    ]
    doc = f"{reads.entity.japanese}: a row of table {reads.name} after the change."
    return reads.name, _record(_camel(reads.name), doc, columns), f"The row, if the entity is {reads.name}."


def _record(name: str, doc: str, fields: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "record", "name": name, "doc": doc, "fields": list(fields)}


def _status() -> dict[str, Any]:
    return {"name": "status", "type": "", "doc": "Status of the row.", "default": "unknown"}


def _optional(name: str, type_: Any, doc: str) -> dict[str, Any]:
    return {"name": name, "type": ["null", type_], "doc": doc, "default": None}


def form_of(declared: EntityField) -> str:
    """Return in words which values a field may have in submissions."""
    if declared.choices:
        return f"one of {', '.join(declared.choices)}"
    if declared.type == "date":
        return "a day, YYYY-MM-DD in submissions"
    if declared.type == "long":
        return "yen, digits only"
    if declared.flags:
        return f"one or several of {','.join(declared.flags)}, in this order"
    if declared.is_person_ref:
        return "another person: a resident record code in submissions, the domain's own code of the person in its table"
    return declared.pattern or f"text of up to {declared.characters_max} characters"


def _doc(declared: EntityField) -> str:
    return f"{declared.japanese}: {form_of(declared)}."


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.replace("-", "_").split("_"))


def main() -> int:
    """Write the files, and print their paths."""
    sys.stdout.writelines(f"{file}\n" for file in write_outdated())
    return 0


if __name__ == "__main__":
    sys.exit(main())
