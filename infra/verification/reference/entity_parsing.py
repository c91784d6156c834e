"""Events of declared entities from files of JSON Lines, `events_<system>[_<municipality>].jsonl`.

All that a line must have follows from the declaration of its system.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.verification.reference import field_formats
from infra.verification.reference.notice import Enrolment, EntityEvent, Submission
from schemas.declare import CANCELLED, ENROLLED, FREE_TEXT, EntityField
from schemas.systems import SYSTEMS, System

_FILE = re.compile(r"events_([a-z0-9-]+?)(?:_([0-9]{6}))?(?:_[^.]*)?\.jsonl")
_HEAD = ("event", "number", "effective_on", "recorded_on", "code", "members", "municipality", "cancels")
#: At most so many persons are named by one submission.
_MEMBERS_MAX = 100

#: What a line gives; every value is text but the list of members.
_Given = Mapping[str, Any]


def is_entity_file(name: str) -> bool:
    """Return whether a file has events of a system that owns entities, by its name."""
    match = _FILE.fullmatch(name)
    return match is not None and match[1] in SYSTEMS and bool(SYSTEMS[match[1]].owns)


def read_entity_events(path: Path) -> Iterator[Submission]:
    """Yield the submissions of a file in the order of its lines. Raise ValueError for a file of another name."""
    match = _FILE.fullmatch(path.name)
    if match is None or not is_entity_file(path.name):
        raise ValueError(f"{path.name}: the name is not events_<system>.jsonl of a system with entities")
    system, part = SYSTEMS[match[1]], match[2]
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            if raw.strip():
                yield _submission(path.name, line, system, part, raw.strip())


def _submission(source: str, line: int, system: System, part: str | None, raw: bytes) -> Submission:
    try:
        value = json.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        value = None
    known = {*_HEAD, *(each.name for each in system.submitted_fields)}
    if not system.submits_members:
        known.remove("members")
    is_object = isinstance(value, dict)
    number = value.get("number") if is_object else None
    readable = isinstance(number, str) and field_formats.NUMBER.fullmatch(number) is not None
    fault, content = "json", None
    identity: tuple[object, ...] = ("raw", system.id, part, raw)
    if is_object:
        fault = _types_fault(value, known)
    if not fault:
        # A missing value equals an empty one.
        given = {name: text for name, text in value.items() if text}
        fault = _fault(system, part, given) or ""
        content = None if fault else _content(system, part, given)
        identity = ("event", system.id, part, str(sorted(given.items())))
    return Submission(
        source, line, "", identity, number if readable else None, content=content, fault=fault or None,
        system=system.id, part=part,
    )  # fmt: skip


def _types_fault(value: Mapping[str, object], known: set[str]) -> str:
    if value.keys() - known:
        return "fields"
    are_texts = all(
        each is None or isinstance(each, str) for name, each in value.items() if name != "members"
    )
    members = value.get("members")
    is_list = isinstance(members, list) and all(isinstance(each, str) for each in members)
    return "" if are_texts and (members is None or is_list) else "types"


def _content(system: System, part: str | None, given: _Given) -> EntityEvent | Enrolment:
    if given["event"] == ENROLLED:
        return Enrolment(system.id, part, given["code"], given["effective_on"])
    first, *others = given.get("members") or [given["code"]]
    return EntityEvent(
        system.id, part, first, given["number"], given["event"], given["effective_on"], given["recorded_on"],
        {name: text for name, text in given.items() if name not in _HEAD}, given.get("cancels"),
        others=frozenset(others),
    )  # fmt: skip


def _fault(system: System, part: str | None, given: _Given) -> str | None:
    """Return the first fault of an event, or None; `given` has no empty values."""
    event = given.get("event", "")
    if event not in system.submitted_events:
        return "event-unknown"
    optional = {"number", "recorded_on"} if event == ENROLLED else set()
    head: dict[str, Callable[[str], bool]] = {
        "number": lambda text: field_formats.NUMBER.fullmatch(text) is not None,
        "effective_on": field_formats.is_day,
        "recorded_on": field_formats.is_day,
    }
    for name, has_form in head.items():
        if not (has_form(given[name]) if name in given else name in optional):
            return f"format:{name}"
    if not _names_persons(system, event, given):
        return "persons"
    if given.get("municipality") != part:
        return "other-municipality"
    if (event == CANCELLED) != ("cancels" in given) or not head["number"](given.get("cancels", "1")):
        return "cancels"
    return _fields_fault(system, event, given)


def _names_persons(system: System, event: str, given: _Given) -> bool:
    """Return whether an event names the persons that it must: one in `code`, or in `members` each once."""
    members = given.get("members", [])
    is_several = event not in (CANCELLED, ENROLLED) and system.entity_of(event)[1].of_members
    is_cancelled_for_several = event == CANCELLED and bool(members)
    if not (is_several or is_cancelled_for_several):
        return not members and field_formats.FORMATS["code"](given.get("code", ""))
    if "code" in given or not 1 <= len(set(members)) == len(members) <= _MEMBERS_MAX:
        return False
    refs = [given[each.name] for each in system.submitted_fields if each.is_person_ref and each.name in given]
    return all(map(field_formats.FORMATS["code"], members)) and set(refs) <= set(members)


def _fields_fault(system: System, event: str, given: _Given) -> str | None:
    brought: dict[str, EntityField] = {}
    if event not in (CANCELLED, ENROLLED):
        entity, declared = system.entity_of(event)
        brought = entity.brought_by(declared)
    for field in system.submitted_fields:
        value = given.get(field.name)
        if value is not None and field.name not in brought:
            return f"unexpected:{field.name}"
        if value is None and field.name in brought and not brought[field.name].is_optional:
            return f"missing:{field.name}"
        if value is not None and not has_form(field, value):
            return f"format:{field.name}"
    return None


def has_form(field: EntityField, value: str) -> bool:
    """Return whether a value has the form that its field demands."""
    if field.choices:
        return value in field.choices
    if len(value) > field.characters_max:
        return False
    if field.type == "date":
        return field_formats.is_day(value)
    if field.pattern == FREE_TEXT:
        return field_formats.is_free_text(value)
    # RE2's $ is the end of the text; Python's would match before a line feed at the end too.
    return re.search(re.sub(r"\$$", r"\\Z", field.pattern), value) is not None
