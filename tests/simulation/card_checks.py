"""Checks of declared events: the cards of a run against those of the model, and that no event was ahead of its day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from functools import cache
from typing import Any, Final, TypeVar

import pyarrow as pa

from processors.codes import MESH, CodeKind, mesh_codes, person_codes
from processors.fan_out.conflicts import OPEN
from processors.japan import day_of_ms
from schemas.systems import DOMAINS
from schemas.topics import CONFLICT, change_topic, rejected_topic
from tests.simulation.card_model import Card
from tests.simulation.cities import CODEC, SimCity
from tests.simulation.log import Log, LogEntry
from tests.simulation.postgres import SimDatabase
from tests.unit.processors.submissions import key_ring

K = TypeVar("K", bound=tuple[Any, ...])
V = TypeVar("V")

_CARD: Final = "card"


def card_differences(city: SimCity, log: Log, databases: Mapping[str, SimDatabase]) -> Iterator[str]:
    """Yield how cards, conflicts and rejections differ from what the model says."""
    expected = city.cards
    persons = _persons(tuple(sorted(expected.persons)))
    known = set(persons.values())
    rows = {(persons[code], serial): card for (code, serial), card in expected.rows.items()}
    yield from _different("the cards that were published", rows, _about(known, _published(log)))
    if _CARD in databases:
        yield from _different("the cards in the store", rows, _about(known, _stored(databases[_CARD])))
    conflicts = {(persons[code], *of_event): why for (code, *of_event), why in expected.conflicts.items()}
    yield from _different("the events without effect", conflicts, _about(known, _conflicts(log)))
    yield from _different("the rejected events", expected.rejected, _rejected(log))


def early_cards(log: Log) -> Iterator[str]:
    """Yield whether a card was published as it is from a day on of which no record had been received by then."""
    days = [
        (entry.version, day_of_ms(entry.timestamp_ms))
        for topic in log.topics
        if topic.startswith("in.")
        for entry in log.committed(topic)
    ]
    early = 0
    for entry, row in _changes(log):
        published = entry.transaction.ended_version if entry.transaction else 0
        early += row["effective_on"] > max(day for version, day in days if version <= published)
    if early:
        yield f"{early} cards were published before their day"


def _changes(log: Log) -> Iterator[tuple[LogEntry, dict[str, Any]]]:
    entries = log.committed(change_topic(_CARD))
    rows = _decoded("domain-change", entries)
    return ((entry, row) for entry, row in zip(entries, rows, strict=True) if row["entity"] == _CARD)


def _published(log: Log) -> dict[tuple[str, str], Card]:
    """Return the cards by person and serial as the last changes leave them."""
    names = [field.name for reads in DOMAINS[_CARD].reads if reads.name == _CARD for field in reads.fields]
    cards: dict[tuple[str, str], Card] = {}
    for _, row in _changes(log):
        columns = dict(zip(names, row["columns"], strict=False))
        if row["op"] == "DELETE":
            cards.pop((row["person"], columns["serial"]), None)
        else:
            cards[row["person"], columns["serial"]] = _card({**row, **columns})
    return cards


def _stored(database: SimDatabase) -> dict[tuple[str, str], Card]:
    rows = list(database.table(_CARD).values())
    codes = pa.array([row["code"] for row in rows], pa.string())
    persons = mesh_codes(key_ring().cipher(_CARD), codes, CodeKind.PERSON).to_pylist()
    return {(person, row["serial"]): _card(row) for person, row in zip(persons, rows, strict=True)}


def _card(row: Mapping[str, Any]) -> Card:
    texts = [row[name] for name in ("status", "kind", "state", "expires_on", "printed_text", "use_abroad")]
    status, kind, state, expires_on, printed_text, use_abroad = texts
    since = date.fromisoformat(str(row["effective_on"]))
    return Card(since, status, kind, state, date.fromisoformat(expires_on), printed_text, use_abroad)


def _conflicts(log: Log) -> dict[tuple[str, str, date], str]:
    """Return why events about cards were last said to have no effect, by person, number and day."""
    last = {row["id"]: row for row in _decoded("conflict", log.committed(CONFLICT))}
    return {
        (row["person"], row["number"], row["effective_on"]): row["code"]
        for row in last.values()
        if (row["kind"], row["status"], row["domain"]) == ("EVENT_WITHOUT_EFFECT", OPEN, _CARD)
    }


def _rejected(log: Log) -> Counter[tuple[str, str]]:
    rows = _decoded("rejected", log.committed(rejected_topic(_CARD)))
    return Counter((row["notice"], row["code"]) for row in rows if row["notice"])


def _decoded(schema: str, entries: list[LogEntry]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = CODEC.decode(schema, [e.value_bytes for e in entries]).table.to_pylist()
    return rows


def _about(persons: Collection[str], found: Mapping[K, V]) -> dict[K, V]:
    """Return what was found about these persons; a key begins with the person."""
    return {key: value for key, value in found.items() if key[0] in persons}


def _different(what: str, expected: Mapping[Any, Any], actual: Mapping[Any, Any]) -> Iterator[str]:
    wrong = [key for key in {**expected, **actual} if expected.get(key) != actual.get(key)]
    if wrong:
        yield f"{what} differ from the model's: {len(wrong)} of {len(expected)}, {len(actual)} found"


@cache
def _persons(codes: tuple[str, ...]) -> dict[str, str]:
    """Return the mesh codes of residents by their record codes."""
    mesh = person_codes(key_ring().cipher(MESH), pa.array(codes, pa.string())).to_pylist()
    return dict(zip(codes, mesh, strict=True))
