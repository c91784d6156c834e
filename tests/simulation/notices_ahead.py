"""Random notices and enrolments ahead of their day, about persons of their own, as files of registers and domains.

They arrive on any of the days of a history: late, on their day, or ahead of one that begins while it runs, or of one
that doesn't. Some are cancelled before their day or after it; measures of protection begin and end among them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.simulation.card_submissions import DAYS, FIRST_DAY

ENROLMENTS: Final = "enrolments_ahead.csv"

_PERSONS: Final = 6
#: Days of effect, counted from the first day. The history has four days after it.
_EFFECTIVE_AFTER: Final = (-2, 0, 1, 2, 2, 3, 3, 4, 4, 20)
_REASONS: Final = (
    *("転出",) * 4,
    *("転居",) * 2,
    *("支援措置開始",) * 2,
    "支援措置終了",
    "氏名変更",
    "国外転出",
    "死亡",
)
_ENROLLING: Final = ("portal", "nta", "child", "care", "pension")


class NoticeAhead(NamedTuple):
    """One notice: a line of the file of its municipality's register, and the day on which it is received."""

    received_on: date
    line: dict[str, Any]

    @property
    def file(self) -> str:
        """The name of the file: one of those received on the first day before all else, or after all else."""
        when = "ahead" if self.received_on == FIRST_DAY else "later"
        return f"notices_{self.line['municipality']}_{when}.jsonl"


class DrawnAhead(NamedTuple):
    """The notices in the order in which they arrive, and the lines of `ENROLMENTS` with their days of receipt."""

    notices: list[NoticeAhead]
    enrolments: list[tuple[date, str]]

    def write(self, folder: Path) -> dict[Path, list[date]]:
        """Write the files; return for each the days on which its lines are received, the first line first."""
        files: dict[Path, list[date]] = {}
        for name in sorted({notice.file for notice in self.notices}):
            of_file = [notice for notice in self.notices if notice.file == name]
            text = "".join(f"{json.dumps(notice.line, ensure_ascii=False)}\n" for notice in of_file)
            (folder / name).write_text(text, encoding="utf-8")
            files[folder / name] = [notice.received_on for notice in of_file]
        lines = ["業務,市区町村コード,住民票コード,開始日", *(line for _, line in self.enrolments)]
        (folder / ENROLMENTS).write_text(
            "".join(f"{line}\r\n" for line in lines), encoding="utf-8-sig", newline=""
        )
        files[folder / ENROLMENTS] = [FIRST_DAY, *(day for day, _ in self.enrolments)]
        return files


def draw_ahead(municipalities: Sequence[str], seed: int) -> DrawnAhead:
    """Return notices of these municipalities' registers, and enrolments; the same for a seed."""
    chance = random.Random(f"ahead {seed}")  # noqa: S311 - repeatable on purpose
    notices, enrolments = list[NoticeAhead](), list[tuple[date, str]]()
    for number in range(_PERSONS):
        code, (home, other) = f"9{seed:06d}{number:04d}", chance.sample([*municipalities], 2)
        notices += _Person(chance, code, home, other).notices()
        for domain in chance.sample(_ENROLLING, 3):
            part = home if domain in ("child", "care") else ""
            since = FIRST_DAY + timedelta(chance.choice((-90, -90, *_EFFECTIVE_AFTER)))
            enrolments.append((_some_day(chance), f"{domain},{part},{code},{since}"))
    # Sorting is stable: the notices about a person stay in their order.
    return DrawnAhead(
        sorted(notices, key=lambda notice: notice.received_on), sorted(enrolments, key=lambda each: each[0])
    )


def is_first(path: Path) -> bool:
    """Return whether a file is received before all others."""
    return path.stem.endswith("_ahead") and path.name != ENROLMENTS


def _some_day(chance: random.Random) -> date:
    """Return a day of receipt: mostly the first, so that much waits for the days that begin."""
    return FIRST_DAY + timedelta(chance.choice((0,) * DAYS + tuple(range(1, DAYS + 1))))


class _Person:
    """What is said about one person: first by the municipality `home`."""

    def __init__(self, chance: random.Random, code: str, home: str, other: str) -> None:
        self._chance, self._code, self._home, self._other = chance, code, home, other
        self._written = 0

    def notices(self) -> Iterator[NoticeAhead]:
        """Yield the notices, those of each municipality in the order of receipt."""
        registered_on = FIRST_DAY + timedelta(self._chance.choice((-100, -100, -100, 2)))
        yield self._notice(FIRST_DAY, self._home, "初期登録", registered_on, self._facts(self._home))
        cancellable, protects = list[str](), self._chance.random() < 0.4
        for received_on in sorted(_some_day(self._chance) for _ in range(self._chance.randint(1, 4))):
            if cancellable and self._chance.random() < 0.4:
                number = cancellable.pop()
                yield self._notice(received_on, self._home, "取消", self._day(), {}, cancels=number)
                continue
            reason, day = self._chance.choice(_REASONS), self._day()
            if protects:
                reason, protects = "支援措置開始", False
                day = FIRST_DAY + timedelta(self._chance.choice((2, 20, 20)))
            notice = self._notice(received_on, self._home, reason, day, self._changed(reason))
            if reason == "転出":
                notice.line["moved_to"] = self._other
            cancellable.append(notice.line["notice"])
            yield notice
            if reason == "転出" and self._chance.random() < 0.6:
                facts, arrives = self._facts(self._other), day + timedelta(self._chance.choice((0, 0, 1)))
                arrived = self._notice(_some_day(self._chance), self._other, "転入", arrives, facts)
                arrived.line["moved_from"] = self._home
                yield arrived

    def _day(self) -> date:
        return FIRST_DAY + timedelta(self._chance.choice(_EFFECTIVE_AFTER))

    def _notice(
        self,
        received_on: date,
        municipality: str,
        reason: str,
        day: date,
        facts: dict[str, Any],
        **others: str,
    ) -> NoticeAhead:
        self._written += 1
        line = {
            "notice": f"{municipality[:5]}-ahead-{self._code[-10:]}-{self._written}",
            "municipality": municipality,
            "reason": reason,
            "effective_on": str(day),
            "recorded_on": str(received_on),
            "persons": [{"code": self._code, **facts}],
        }
        return NoticeAhead(received_on, line | others)

    def _facts(self, municipality: str) -> dict[str, Any]:
        number = f"8{self._code[-11:]}"
        return {
            "local_number": f"8{number}",
            "name": "先日　花子",
            "kana": "センジツ　ハナコ",
            "birth_date": "1980-05-05",
            "sex": "女",
            "relationship": "世帯主",
            "household": number,
            "address": f"{municipality}の町{self._chance.randint(1, 99)}番",
            "protected": False,
        }

    def _changed(self, reason: str) -> dict[str, Any]:
        if reason == "転居":
            facts = self._facts(self._home)
            return {name: facts[name] for name in ("address", "household")}
        return {"name": "明日　花子", "kana": "アス　ハナコ"} if reason == "氏名変更" else {}
