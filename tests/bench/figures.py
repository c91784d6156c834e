"""What a run comes to: figures of ours beside theirs, with the goal where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Goal:
    """A limit of the ratio ours / theirs, or of ours where there is no theirs."""

    limit: float
    at_most: bool = False

    def __str__(self) -> str:
        """As it is written in tables."""
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"

    def met(self, value: float) -> bool:
        """Whether it is."""
        return value <= self.limit if self.at_most else value >= self.limit


def at_least(limit: float) -> Goal:
    """Not less than that."""
    return Goal(limit)


def at_most(limit: float) -> Goal:
    """Not more than that."""
    return Goal(limit, at_most=True)


@dataclass(frozen=True)
class Figure:
    """One line of the table. `theirs` None: nothing to compare with, or not to be had here (`note` says why)."""

    name: str
    ours: float | None
    theirs: float | None
    unit: str
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours / theirs."""
        return self.ours / self.theirs if self.ours is not None and self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none, or it can't be told."""
        value = self.ours if self.theirs is None else self.ratio
        return self.goal.met(value) if self.goal and value is not None and not self.missing else None

    @property
    def missing(self) -> bool:
        """Whether the other side could not be had."""
        return self.theirs is None and bool(self.note)

    def as_json(self) -> dict[str, Any]:
        """As in `bench.json`."""
        return {
            "name": self.name,
            "ours": _rounded(self.ours),
            "theirs": _rounded(self.theirs),
            "unit": self.unit,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": str(self.goal) if self.goal else None,
            "met": self.met,
            **({"note": self.note} if self.note else {}),
        }


def save(file: Path, found: Sequence[Figure]) -> None:
    """Write them, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_bytes(orjson.dumps([each.as_json() for each in found], option=orjson.OPT_INDENT_2))
    draft.replace(file)


def _rounded(value: float | None) -> float | None:
    """Three figures are more than two runs agree on; whole numbers from a thousand on."""
    return None if value is None else round(value) if value >= 1_000 else float(f"{value:.4g}")
