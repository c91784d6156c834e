"""Figures of a run: values beside those that they are compared with, and goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True)
class Goal:
    """A limit of a figure's ratio, or of its value if there is nothing to compare it with."""

    limit: float
    at_most: bool = False

    def __str__(self) -> str:
        """Return the goal as it is written in tables."""
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"

    def is_met(self, value: float) -> bool:
        """Return whether `value` meets the goal."""
        return value <= self.limit if self.at_most else value >= self.limit


def at_least(limit: float) -> Goal:
    """Return the goal of at least `limit`."""
    return Goal(limit)


def at_most(limit: float) -> Goal:
    """Return the goal of at most `limit`."""
    return Goal(limit, at_most=True)


@dataclass(frozen=True)
class Figure:
    """One row of the table.

    `compared_with` is None if there is nothing to compare with, or if the alternative isn't available here; `note`
    then says why.
    """

    name: str
    value: float | None
    compared_with: float | None
    unit: str
    goal: Goal | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value divided by what it is compared with."""
        return self.value / self.compared_with if self.value is not None and self.compared_with else None

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is met; None if there is no goal, or nothing available to compare with."""
        value = self.value if self.compared_with is None else self.ratio
        return self.goal.is_met(value) if self.goal and value is not None and not self.is_missing else None

    @property
    def is_missing(self) -> bool:
        """Whether the alternative isn't available here."""
        return self.compared_with is None and bool(self.note)

    def as_json(self) -> dict[str, Any]:
        """Return the figure as an object of `bench.json`."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "compared_with": _rounded(self.compared_with),
            "unit": self.unit,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "goal": str(self.goal) if self.goal else None,
            "met": self.is_met,
            **({"note": self.note} if self.note else {}),
        }


def save(file: Path, figures: Sequence[Figure]) -> None:
    """Write the figures to `file` atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".draft")
    draft.write_bytes(orjson.dumps([figure.as_json() for figure in figures], option=orjson.OPT_INDENT_2))
    draft.replace(file)


def _rounded(value: float | None) -> float | None:
    """Round to 4 digits, from 1,000 to whole numbers: two runs don't agree on more than three digits."""
    return None if value is None else round(value) if value >= 1_000 else float(f"{value:.4g}")
