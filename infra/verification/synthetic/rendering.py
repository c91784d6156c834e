"""Text of a notice as its register submits it: rows of CSV, or a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.verification.synthetic.residents import Facts

HEADER = (
    "通番,届出番号,市区町村コード,異動事由,異動日,届出日,世帯番号,宛名番号,住民票コード,氏名,氏名カナ,生年月日,性別,"
    "続柄,住所,前住所地コード,転出先コード,支援措置,取消対象届出番号"
)
#: Reasons by which a person becomes a resident.
ENTERING = frozenset({"初期登録", "転入", "国外転入", "出生"})


@dataclass(frozen=True, slots=True)
class PersonContent:
    """One person of a notice: all facts that the register knows after it, and those that the notice changes."""

    code: str
    local_number: str
    known: Facts
    changes: Facts
    protected: bool


@dataclass(frozen=True, slots=True)
class NoticeContent:
    """The content of a notice, in either format.

    `household` and `to` are set if the notice names a household instead of persons. `relocation` has moved_from,
    moved_to or cancels.
    """

    number: str
    municipality: str
    reason: str
    effective_on: str
    recorded_on: str
    persons: Sequence[PersonContent]
    household: str | None = None
    to: Facts = field(default_factory=dict)
    relocation: Mapping[str, str] = field(default_factory=dict)


def csv_rows(notice: NoticeContent) -> list[str]:
    """Return a CSV row per person, without the running number."""
    return [_csv_row(notice, person) for person in notice.persons]


def _csv_row(notice: NoticeContent, person: PersonContent) -> str:
    known = person.known
    columns = (
        notice.number, notice.municipality, notice.reason, notice.effective_on, notice.recorded_on,
        known["household"], person.local_number, person.code, known["name"], known["kana"], known["birth_date"],
        known["sex"], known["relationship"], "国外" if notice.reason == "国外転出" else known["address"],
        notice.relocation.get("moved_from", ""), notice.relocation.get("moved_to", ""), str(int(person.protected)),
        notice.relocation.get("cancels", ""),
    )  # fmt: skip
    return ",".join(columns)


def json_line(notice: NoticeContent) -> str:
    """Return a line of JSON, without persons if the notice names a household."""
    members: dict[str, object] = {
        "notice": notice.number,
        "municipality": notice.municipality,
        "reason": notice.reason,
        "effective_on": notice.effective_on,
        "recorded_on": notice.recorded_on,
    }
    if notice.household is not None:
        members |= {"household": notice.household, **({"to": notice.to} if notice.to else {})}
    else:
        members["persons"] = [_json_person(notice, person) for person in notice.persons]
    return json.dumps({**members, **notice.relocation}, ensure_ascii=False)


def _json_person(notice: NoticeContent, person: PersonContent) -> dict[str, object]:
    if notice.reason not in ENTERING:
        return {"code": person.code, **person.changes}
    facts: dict[str, object] = {"code": person.code, "local_number": person.local_number}
    for name in ("name", "kana", "birth_date", "sex", "relationship", "household", "address"):
        facts[name] = person.known[name]
    return {**facts, "protected": person.protected}
