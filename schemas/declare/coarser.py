"""Columns of readings that say less than the field from which they are made: exempt or not, instead of an amount."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.declare.column_names import COMMON_NAMES, FIELD_NAME, NAME_MAX, SYSTEM_COLUMNS
from schemas.declare.entities import Entity
from schemas.declare.entity_fields import DeclarationError, EntityField

#: A rule needs at least so many results, or the column would say nothing.
_RESULTS_MIN: Final = 2


@dataclass(frozen=True)
class OneOf:
    """A result for several of the values that a choice can have: `{"yes": ("exempt",), "no": ("levied", "small")}`."""

    values: Mapping[str, tuple[str, ...]]

    @property
    def results(self) -> tuple[str, ...]:
        """What the column can be."""
        return tuple(self.values)

    def of(self, value: str) -> str:
        """Return the result of a value. Raise KeyError if it has none."""
        for result, meant in self.values.items():
            if value in meant:
                return result
        raise KeyError(f"no result of {value!r}")

    def fault(self, declared: EntityField) -> str | None:
        """Return why the rule can't be one for a field; None if it can."""
        if not declared.choices:
            return f"{declared.name} is no choice"
        meant = [value for values in self.values.values() for value in values]
        if sorted(meant) != sorted(declared.choices):
            return f"each value of {declared.name} must have one result"
        if len(self.results) == len(declared.choices):
            return f"it says as much as {declared.name}"
        return None


@dataclass(frozen=True)
class Steps:
    """A result for a range of amounts: `first` below all amounts, then the result of the greatest one reached.

    `Steps("none", {1: "small", 1_000_000: "large"})` has three ranges.
    """

    first: str
    amounts: Mapping[int, str]

    @property
    def results(self) -> tuple[str, ...]:
        """What the column can be."""
        return tuple(dict.fromkeys((self.first, *self.amounts.values())))

    def of(self, value: str) -> str:
        """Return the result of an amount."""
        reached = [result for amount, result in self.amounts.items() if amount <= int(value)]
        return reached[-1] if reached else self.first

    def fault(self, declared: EntityField) -> str | None:
        """Return why the rule can't be one for a field; None if it can."""
        if declared.type != "long":
            return f"{declared.name} is no amount"
        amounts = list(self.amounts)
        if amounts != sorted(amounts) or any(amount <= 0 for amount in amounts):
            return "its amounts must rise from above 0"
        return None


@dataclass(frozen=True)
class Coarser:
    """A column made of a field by a rule, so that the reader never receives the field itself.

    A change of the field that doesn't change the column is sent to nobody. It is null where the field is, and withheld
    where the field is.
    """

    field: str
    rule: OneOf | Steps
    name: str
    japanese: str

    def column(self, entity: Entity) -> EntityField:
        """Return the column as a field. Raise DeclarationError if it can't be made of the entity."""
        self._check(entity)
        declared = entity.field(self.field)
        results = self.rule.results
        return EntityField(
            self.name,
            self.japanese,
            characters_max=max(map(len, results)),
            choices=results,
            is_optional=declared.is_optional,
            is_location=declared.is_location,
        )

    def _check(self, entity: Entity) -> None:
        named = f"{entity.id}: column {self.name!r}, coarser than {self.field}"
        if self.field not in entity.field_names:
            raise DeclarationError(f"{named}: there is no such field")
        if self.field in entity.key:
            raise DeclarationError(f"{named}: it is part of the key, which is always sent")
        if self.name in entity.field_names or self.name in COMMON_NAMES | SYSTEM_COLUMNS:
            raise DeclarationError(f"{named}: the name is taken")
        if not FIELD_NAME.fullmatch(self.name) or len(self.name) > NAME_MAX:
            raise DeclarationError(
                f"{named}: the name must be lower-case words joined by underscores, at most {NAME_MAX} characters"
            )
        if len(self.rule.results) < _RESULTS_MIN:
            raise DeclarationError(f"{named}: it has fewer than {_RESULTS_MIN} results")
        fault = self.rule.fault(entity.field(self.field))
        if fault is not None:
            raise DeclarationError(f"{named}: {fault}")
