"""What must stay in order with a hand-over on its topic, in the mesh's codes; see `processors.notice_ordering`.

Intake has no list: who lives in a household that a notice means isn't known here, so it waits for those whose notices
name that household.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from processors.codes import Cipher, CodeKind
from processors.intake.resubmissions import KINDS as DESK_KINDS
from processors.notice_ordering import NoticeScope, ordering_keys_of
from streams.contract import Batch, OrderingKeys

Row = Mapping[str, Any]


def strands(batch: Batch, mesh: Cipher) -> list[OrderingKeys]:
    """The strands of each hand-over; none where it names nobody."""
    coded = _Coded(mesh)
    return [ordering_keys_of(_ABOUT[batch.schema](row, coded)) for row in batch.table.to_pylist()]


class _Coded:
    """Mesh codes of what a hand-over names; None where it names nothing."""

    def __init__(self, mesh: Cipher) -> None:
        self._mesh = mesh

    def persons(self, codes: Iterable[str | None]) -> list[str | None]:
        """Of resident record codes."""
        return self._codes(codes, CodeKind.PERSON)

    def households(self, municipality: str | None, numbers: Iterable[str | None]) -> list[str | None]:
        """Of a municipality's numbers of households."""
        return self._codes([n and f"{municipality}/{n}" for n in numbers], CodeKind.HOUSEHOLD)

    def _codes(self, values: Iterable[str | None], kind: CodeKind) -> list[str | None]:
        found: list[str | None] = self._mesh.codes(
            pa.array([value or None for value in values], pa.string()), kind
        ).to_pylist()
        return found


def _of_rows(notice: Row, coded: _Coded) -> NoticeScope:
    rows = notice["rows"] or []
    municipality = rows[0]["municipality"] if rows else None
    return NoticeScope(
        persons=coded.persons(row["code"] for row in rows),
        numbers=[row[name] for row in rows for name in ("notice", "cancels")],
        joined=coded.households(municipality, (row["household"] for row in rows)),
    )


def _of_event(notice: Row, coded: _Coded) -> NoticeScope:
    persons = notice["persons"] or []
    given = [each["household"] for each in persons] + [(notice["to"] or {}).get("household")]
    return NoticeScope(
        persons=coded.persons(each["code"] for each in persons),
        numbers=(notice["notice"], notice["cancels"]),
        joined=coded.households(notice["municipality"], given),
        meant=coded.households(notice["municipality"], [notice["household"]])[0],
    )


def _of_enrolment(claim: Row, coded: _Coded) -> NoticeScope:
    return NoticeScope(persons=coded.persons([claim["code"]]))


def _of_portal_event(event: Row, coded: _Coded) -> NoticeScope:
    given = [each["code"] for each in (event["enrolment"], event["account"]) if each]
    return NoticeScope(persons=coded.persons(given))


def _of_act(act: Row, coded: _Coded) -> NoticeScope:
    """An act on a hand-over is in order with what it hands over; one on a letter with nothing."""
    for field, schema in DESK_KINDS.items():
        if act[field] is not None:
            return _ABOUT[schema](act[field], coded)
    return NoticeScope()


_ABOUT: Final[Mapping[str, Callable[[Row, _Coded], NoticeScope]]] = MappingProxyType(
    {
        "juki-cs-notice": _of_rows,
        "juki-notice": _of_event,
        "enrolment": _of_enrolment,
        "portal-event": _of_portal_event,
        "operator-command": _of_act,
    }
)
