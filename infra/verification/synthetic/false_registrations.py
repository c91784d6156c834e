"""False registrations: municipalities that register residents of others, so that registrations of a person overlap."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from infra.verification.synthetic.city import START

#: What a municipality may say about somebody whom it has registered falsely, besides the move in.
_MORE = ("支援措置終了", "転居", "死亡", "転出")


class _Claim(NamedTuple):
    """A false registration: whose it is, where the person lives, and the day of the false move in."""

    claimant: str
    home: str
    code: str
    number: int
    day: date


def add_false_registrations(folder: Path, seed: int, per_register: int = 2) -> None:
    """Append false notices to the JSON registers of a city, of residents of its CSV registers, protected ones first."""
    chance = random.Random(f"false registrations {seed}")  # noqa: S311 - repeatable on purpose
    rows = [row for path in sorted(folder.glob("juki_*.csv")) for row in _rows(path)]
    residents = sorted(
        {(r["住民票コード"], r["市区町村コード"]) for r in rows if r["異動事由"] == "初期登録"}
    )
    protected: dict[str, str] = {}
    for row in rows:
        if row["異動事由"] == "支援措置開始":
            protected.setdefault(row["住民票コード"], row["異動日"])
    for path in sorted(folder.glob("notices_*.jsonl")):
        claimant = path.stem.split("_")[1]
        shuffled = chance.sample(residents, len(residents))
        claimed = sorted(shuffled, key=lambda resident: resident[0] not in protected)[:per_register]
        with path.open("a", encoding="utf-8", newline="") as register:
            for number, (code, home) in enumerate(claimed):
                claim = _Claim(claimant, home, code, number, _first_day(chance, protected.get(code)))
                register.writelines(f"{line}\n" for line in _false_notices(claim, chance))


def _rows(path: Path) -> Iterator[dict[str, str]]:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp932")
    yield from csv.DictReader(io.StringIO(text, newline=""))


def _first_day(chance: random.Random, protected_on: str | None) -> date:
    """Return the day of the false move in: of a protected person often while the measure is in force."""
    if protected_on is not None and chance.random() < 0.5:
        return date.fromisoformat(protected_on) + timedelta(days=chance.randrange(20))
    return date.fromisoformat(START) + timedelta(days=chance.randrange(-40, 40))


def _false_notices(claim: _Claim, chance: random.Random) -> Iterator[str]:
    """Yield a false move in on this day, and up to two notices after it, as lines of JSON."""
    claimant, home, code, number, day = claim
    facts = {
        "local_number": f"{9 * 10**12 + number}", "name": "偽物　太郎", "kana": "ニセモノ　タロウ",
        "birth_date": "1980-01-01", "sex": "男", "relationship": "世帯主", "household": f"{9 * 10**11 + number}",
        "address": "偽町1番地", "protected": False,
    }  # fmt: skip
    moved = {"address": "偽町2番地", "household": facts["household"]}
    persons = {reason: {"code": code} for reason in _MORE} | {"転入": {"code": code, **facts}}
    persons["転居"] |= moved
    others = {"転入": {"moved_from": home}, "転出": {"moved_to": claimant}}
    more = sorted(chance.sample(_MORE, chance.randint(0, 2)), key=lambda reason: reason in ("死亡", "転出"))
    if {"死亡", "転出"} <= set(more):
        more = more[:1]
    for index, reason in enumerate(("転入", *more)):
        effective_on = str(day + timedelta(days=index))
        notice = {"notice": f"{claimant[:5]}-9{number:08}{index}", "municipality": claimant, "reason": reason}
        notice |= {"effective_on": effective_on, "recorded_on": effective_on}
        yield json.dumps(
            notice | {"persons": [persons[reason]], **others.get(reason, {})}, ensure_ascii=False
        )
