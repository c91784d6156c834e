"""A notice as its register hands it over: rows of CSV, or a line of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from infra.verification.synthetic.residents import Facts

HEADER = (
    "通番,届出番号,市区町村コード,異動事由,異動日,届出日,世帯番号,宛名番号,住民票コード,氏名,氏名カナ,生年月日,性別,"
    "続柄,住所,前住所地コード,転出先コード,支援措置,取消対象届出番号"
)
NEW = frozenset({"初期登録", "転入", "国外転入", "出生"})


@dataclass(frozen=True, slots=True)
class Shown:
    """One person of a notice: all that the register knows after it, and what the notice itself changes."""

    code: str
    local_number: str
    known: Facts
    changes: Facts
    protected: bool


@dataclass(frozen=True, slots=True)
class Form:
    """What a notice says, whichever way it is handed over; `household` and `to` where it is by household."""

    number: str
    municipality: str
    reason: str
    effective_on: str
    recorded_on: str
    persons: Sequence[Shown]
    household: str | None = None
    to: Facts = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)


def rows(form: Form) -> list[str]:
    """Rows of CSV without the running number that each begins with."""
    return [_row(form, person) for person in form.persons]


def _row(form: Form, person: Shown) -> str:
    known = person.known
    columns = (
        form.number, form.municipality, form.reason, form.effective_on, form.recorded_on, known["household"],
        person.local_number, person.code, known["name"], known["kana"], known["birth_date"], known["sex"],
        known["relationship"], "国外" if form.reason == "国外転出" else known["address"],
        form.places.get("moved_from", ""), form.places.get("moved_to", ""), str(int(person.protected)),
        form.places.get("cancels", ""),
    )  # fmt: skip
    return ",".join(columns)


def line(form: Form) -> str:
    """A line of JSON; by household without persons where the notice is one of a whole household."""
    head: dict[str, object] = {
        "notice": form.number,
        "municipality": form.municipality,
        "reason": form.reason,
        "effective_on": form.effective_on,
        "recorded_on": form.recorded_on,
    }
    if form.household is not None:
        head |= {"household": form.household, **({"to": form.to} if form.to else {})}
    else:
        head["persons"] = [_person(form, person) for person in form.persons]
    return json.dumps({**head, **form.places}, ensure_ascii=False)


def _person(form: Form, person: Shown) -> dict[str, object]:
    if form.reason not in NEW:
        return {"code": person.code, **person.changes}
    everything: dict[str, object] = {"code": person.code, "local_number": person.local_number}
    for name in ("name", "kana", "birth_date", "sex", "relationship", "household", "address"):
        everything[name] = person.known[name]
    return {**everything, "protected": person.protected}
