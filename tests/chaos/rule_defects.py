"""Seeded defects of the rules of fan-out, which `tests.wrong_rules` has: each function makes one rule wrong."""

from __future__ import annotations

from processors.entities import entity_fold
from processors.fan_out import adoption, known_histories, person_notices
from processors.fan_out.adoption import Adoption
from processors.fan_out.partition_clock import PartitionClock
from tests import wrong_rules


def last_registration_confirmed() -> None:
    """Confirm the registration that was received last."""
    person_notices.choose_confirmed = wrong_rules.last_registration  # type: ignore[attr-defined]


def protection_ended_by_anybody() -> None:
    """Let any municipality end a protection measure."""
    person_notices._end_protection = wrong_rules.end_any_protection


def portion_forgotten_after_kill() -> None:
    """Forget a portion of the agenda in each partition that a worker takes over."""
    clock = wrong_rules.ForgetsAfterKill()

    def must_continue(self: PartitionClock) -> bool:
        return clock.must_continue(self)

    PartitionClock.must_continue = must_continue  # type: ignore[method-assign]


def order_of_arrival() -> None:
    """Let submissions about an entity take effect in the order in which they arrive."""
    known_histories.fold = wrong_rules.fold_in_order_of_arrival  # type: ignore[attr-defined]


def cancelled_counted() -> None:
    """Count a submission that is cancelled."""
    entity_fold._not_cancelled = wrong_rules.with_cancelled


def adoption_skips() -> None:
    """Leave out every second portion of an adoption; portions are small."""
    adoption.PORTION = 20  # type: ignore[misc]
    Adoption.next_portion = wrong_rules.every_second_portion  # type: ignore[assignment,method-assign]
