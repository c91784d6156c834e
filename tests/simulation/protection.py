"""Checks of protection: what conversion publishes, and what a store shows, of persons with a measure in force."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pyarrow as pa

from connectors.postgres.table_definitions import tables_of
from processors.codes import Cipher, CodeKind, mesh_codes
from schemas.systems import DOMAINS
from schemas.topics import PROTECTION, domain_topic, withdrawal_topic
from tests.simulation.cities import CODEC
from tests.simulation.log import Log
from tests.simulation.postgres import SimDatabase
from tests.unit.processors.submissions import key_ring


class _Known(NamedTuple):
    """A record of `protection`: since which version of the log it was known, and whether a measure is in force."""

    version: int
    in_force: bool
    #: The person's revision in the domain.
    revision: int


def addresses_published(log: Log, domain: str) -> Iterator[str]:
    """Yield whether conversion published an address that a measure withheld when it had polled the change.

    A record of `protection` counts from its commit: whatever was polled later was to be processed with it. If the
    measure ended while the change was processed, either is right.
    """
    if not DOMAINS[domain].has_addresses:
        return
    known_by_person = _known(log, domain)
    entries = log.committed(domain_topic(domain))
    rows = CODEC.decode(DOMAINS[domain].event, [entry.value_bytes for entry in entries]).table.to_pylist()
    codes = pa.array([row["code"] for row in rows], pa.string())
    persons = mesh_codes(_cipher(domain), codes, CodeKind.PERSON).to_pylist()
    shown = 0
    for entry, row, person in zip(entries, rows, persons, strict=True):
        if entry.transaction and _shows_place(domain, row):
            known = known_by_person.get(person, [])
            at_poll = [each for each in known if each.version <= entry.polled_version][-1:]
            later = [
                each
                for each in known
                if entry.polled_version < each.version < entry.transaction.ended_version
            ]
            withheld = at_poll and row["revision"] <= at_poll[0].revision
            shown += bool(withheld) and all(each.in_force for each in (*at_poll, *later))
    if shown:
        yield f"{domain}: {shown} addresses were published although a measure was known"


def addresses_stored(log: Log, domain: str, database: SimDatabase) -> Iterator[str]:
    """Yield whether the store shows an address that was withdrawn, once all is read: whatever is blocked."""
    entries = log.committed(withdrawal_topic(domain))
    rows = CODEC.decode("withdrawal", [entry.value_bytes for entry in entries]).table.to_pylist()
    withdrawn: dict[str, int] = {}
    for row in rows:
        withdrawn[row["code"]] = max(row["revision"], withdrawn.get(row["code"], 0))
    shown = sum(
        row["revision"] <= withdrawn.get(row["code"], 0)
        and any(row[name] is not None for name in table.located)
        for table in (tables_of(DOMAINS[domain]) if withdrawn else ())
        for row in (database.table(table.name).values() if table.located else ())
    )
    if shown:
        yield f"{domain}: the store shows {shown} addresses that were withdrawn"


def _shows_place(domain: str, row: dict[str, Any]) -> bool:
    """Return whether a record shows where the person is, in whichever table its content belongs."""
    return any(
        row[table.struct] is not None and row[table.struct][name] is not None
        for table in tables_of(DOMAINS[domain])
        for name in table.located
    )


def _known(log: Log, domain: str) -> dict[str, list[_Known]]:
    """Return the records of each person, in the order in which they became known."""
    known: dict[str, list[_Known]] = {}
    entries = log.committed(PROTECTION)
    rows = CODEC.decode("protection", [entry.value_bytes for entry in entries]).table.to_pylist()
    for entry, row in zip(entries, rows, strict=True):
        revision = next((each["revision"] for each in row["revisions"] if each["domain"] == domain), 0)
        in_force = any(measure["until"] is None for measure in row["measures"])
        version = entry.transaction.ended_version if entry.transaction else 0
        known.setdefault(row["person"], []).append(_Known(version, in_force, revision))
    return known


@cache
def _cipher(domain: str) -> Cipher:
    return key_ring().cipher(domain)
