"""Ordering keys of a submission within its input topic, in mesh codes; see `processors.notice_ordering`.

Intake keeps no register, so it doesn't know the residents of a household. A notice about a whole household therefore
waits for every blocked notice that names this household.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher, CodeKind
from processors.intake import submission_limits
from processors.notice_ordering import NoticeScope, ordering_keys_of
from schemas.declare import MEMBERS
from schemas.submission_schemas import GENERATED_SCHEMAS, OPERATOR_COMMAND, resubmission_in
from streams.contract import Batch, OrderingKeys
from streams.high_level import HighSealer, required

Row = Mapping[str, Any]


def ordering_keys(batch: Batch, mesh: Cipher, sealer: HighSealer | None = None) -> list[OrderingKeys]:
    """Return the ordering keys of each submission; none for one that names no person, notice or household.

    At the high level a digest by the `sealer` stands for the person: the keys of blocked records are on a topic.
    A submission with too many persons has none either: it is rejected whatever the records before it do.
    """
    codes, too_many = _MeshCodes(mesh, sealer), submission_limits.names_too_many(batch.table)
    within_limits = batch.table.filter(pc.invert(too_many)).to_pylist()
    keys = iter([ordering_keys_of(_SCOPE_OF[batch.schema](row, codes)) for row in within_limits])
    return [OrderingKeys() if is_too_many else next(keys) for is_too_many in too_many.to_pylist()]


class _MeshCodes:
    """Mesh codes of the persons and households that a submission names; None where it names none."""

    def __init__(self, mesh: Cipher, sealer: HighSealer | None) -> None:
        self._mesh, self._sealer = mesh, sealer

    def persons(self, resident_codes: Iterable[str | None]) -> list[str | None]:
        """Return the mesh codes of resident record codes."""
        return self._codes(resident_codes, CodeKind.PERSON)

    def digests(self, values: Iterable[str | None]) -> list[str | None]:
        """Return keyed digests of resident record codes or numbers, as keys at the high level."""
        sealer = required(self._sealer)
        return [value and sealer.digest(value, "intake") for value in values]

    def households(self, municipality: str | None, numbers: Iterable[str | None]) -> list[str | None]:
        """Return the mesh codes of a municipality's household numbers."""
        return self._codes([number and f"{municipality}/{number}" for number in numbers], CodeKind.HOUSEHOLD)

    def _codes(self, values: Iterable[str | None], kind: CodeKind) -> list[str | None]:
        codes: list[str | None] = self._mesh.codes(
            pa.array([value or None for value in values], pa.string()), kind
        ).to_pylist()
        return codes


def _csv_notice(notice: Row, codes: _MeshCodes) -> NoticeScope:
    rows = notice["rows"] or []
    municipality = rows[0]["municipality"] if rows else None
    return NoticeScope(
        persons=codes.persons(row["code"] for row in rows),
        numbers=[row[name] for row in rows for name in ("notice", "cancels")],
        households_joined=codes.households(municipality, (row["household"] for row in rows)),
    )


def _json_notice(notice: Row, codes: _MeshCodes) -> NoticeScope:
    persons = notice["persons"] or []
    joined = [person["household"] for person in persons] + [(notice["to"] or {}).get("household")]
    return NoticeScope(
        persons=codes.persons(person["code"] for person in persons),
        numbers=(notice["notice"], notice["cancels"]),
        households_joined=codes.households(notice["municipality"], joined),
        household=codes.households(notice["municipality"], [notice["household"]])[0],
    )


def _enrolment(enrolment: Row, codes: _MeshCodes) -> NoticeScope:
    return NoticeScope(persons=codes.persons([enrolment["code"]]))


def _portal_event(event: Row, codes: _MeshCodes) -> NoticeScope:
    resident_codes = [content["code"] for content in (event["enrolment"], event["account"]) if content]
    return NoticeScope(persons=codes.persons(resident_codes))


def _declared_event(system: str, *, is_high: bool) -> Callable[[Row, _MeshCodes], NoticeScope]:
    """Return the scope of an event that this system submits; another submitter may use the same number."""

    def scope(event: Row, codes: _MeshCodes) -> NoticeScope:
        submitter = f"{system}/{event['municipality'] or ''}"
        numbers = [f"{submitter}/{event[name]}" for name in ("number", "cancels") if event[name]]
        persons = [event["code"], *(event.get(MEMBERS) or ())]
        if is_high:
            return NoticeScope(persons=codes.digests(persons), numbers=codes.digests(numbers))
        return NoticeScope(persons=codes.persons(persons), numbers=numbers)

    return scope


def _day(_: Row, __: _MeshCodes) -> NoticeScope:
    """Return an empty scope: a day concerns nobody in particular."""
    return NoticeScope()


def _operator_command(command: Row, codes: _MeshCodes) -> NoticeScope:
    """Return the scope of the submission to resubmit, or the person of a settlement; a dead-letter command has none."""
    resubmission = resubmission_in(command)
    if resubmission is not None:
        schema, submission = resubmission
        return _SCOPE_OF[schema](submission, codes)
    if command["settlement"] is not None:
        return NoticeScope(persons=[command["settlement"]["person"]])
    return NoticeScope()


_SCOPE_OF: Final[Mapping[str, Callable[[Row, _MeshCodes], NoticeScope]]] = MappingProxyType(
    {
        "juki-cs-notice": _csv_notice,
        "juki-notice": _json_notice,
        "enrolment": _enrolment,
        "portal-event": _portal_event,
        "day-begun": _day,
        OPERATOR_COMMAND: _operator_command,
        **{
            schema: _declared_event(system.id, is_high=system.is_high)
            for schema, system in GENERATED_SCHEMAS.items()
        },
    }
)
