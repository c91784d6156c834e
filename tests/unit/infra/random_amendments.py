"""Random additions to an entity: fewer or other rules from a day on, and an event that takes over what another had."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from random import Random

from schemas.declare import PART, Amendment, ByResidence, Consequence, Entity, Follows, TakesOver, opens


def random_amendments(seed: int, entity: Entity, days: Sequence[date]) -> tuple[Amendment, ...]:
    """Return at most two amendments that begin on one of the days; none half of the time."""
    rng = Random(f"amendments {seed}")  # noqa: S311 (nothing secret)
    return tuple(
        Amendment(
            first_day,
            rng.choice([None, (), entity.invariants]),
            rng.choice([None, tuple(_other_rules(rng, entity))]),
            rng.random() < 0.3,
        )
        for first_day in sorted(rng.sample(days, rng.choice([0, 0, 1, 2])))
    )


def _other_rules(rng: Random, entity: Entity) -> list[Consequence]:
    return [
        _other(rng, rule) for rule in entity.follows if isinstance(rule, ByResidence) or rng.random() < 0.6
    ]


def _other(rng: Random, rule: Consequence) -> Consequence:
    if isinstance(rule, Follows):
        return replace(rule, after_days=rng.choice([rule.after_days, 1, 3]))
    return replace(rule, from_age=rng.choice([60, 65, 66])) if isinstance(rule, ByResidence) else rule


def with_taking_over(seed: int, entity: Entity) -> Entity:
    """Return the entity, half of the time with an event that takes over, if a municipality submits all of it."""
    rng = Random(f"taking over {seed}")  # noqa: S311 (nothing secret)
    if entity.key != (PART,) or entity.by_residence is not None or rng.random() < 0.5:
        return entity
    fields = tuple(
        field.name
        for field in entity.fields
        if field.name != "until" and (not field.is_optional or rng.random() < 0.5)
    )
    last_day = "until" if "until" in entity.field_names else None
    rule = TakesOver(fields, "Closed", rng.randint(0, 4), last_day, months=1)
    event = opens("TakenOver", "TakenOver").taking_over(rule)
    return replace(entity, events=(*entity.events, event.anywhere() if rng.random() < 0.5 else event))
