"""Residents of the simulation, with the notices that each register recorded about them."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Facts of a person by field name.
Facts = dict[str, str]
#: Day of effect, and the notice's sequence number in the city.
EffectOrder = tuple[str, int]

#: Greater than all sequence numbers.
SEQUENCE_MAX = 1 << 62


@dataclass(slots=True, eq=False)
class RecordedNotice:
    """A notice as its register recorded it.

    `changes` has the facts that it changes, per person, and `stays` the stay of each of them to which the notice
    belongs, in the same order. Notices take effect in ascending `effect_order`.
    """

    number: str
    reason: str
    effect_order: EffectOrder
    recorded_on: str
    changes: dict[Resident, Facts]
    stays: tuple[Stay, ...] = ()
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class Stay:
    """A person's time as resident of one municipality, from birth or moving in to death or moving out."""

    municipality: str
    local_number: str
    notices: list[RecordedNotice] = field(default_factory=list)
    left: EffectOrder | None = None

    @property
    def since(self) -> str:
        """Day of effect of the notice that began the stay."""
        return self.notices[0].effect_order[0]


@dataclass(slots=True, eq=False)
class Resident:
    """One person.

    `stay` is None for a person who is abroad, moving or dead; `stays` are all stays, in order. `facts_when_leaving`
    are the facts at the end of the last stay.
    """

    code: str
    stay: Stay | None = None
    stays: list[Stay] = field(default_factory=list)
    protected: bool = False
    dead: bool = False
    facts_when_leaving: Facts = field(default_factory=dict)

    def facts(self, until: EffectOrder | None = None, stay: Stay | None = None) -> Facts:
        """Return the facts that the register knows, up to `until` in the order of effect.

        `stay`: the stay whose facts to return, by default the present one.
        """
        stay = stay or self.stay
        if stay is None:
            return dict(self.facts_when_leaving)
        known: Facts = {}
        for notice in sorted(stay.notices, key=lambda notice: notice.effect_order):
            if not notice.cancelled and (until is None or notice.effect_order <= until):
                known |= notice.changes[self]
        return known

    def facts_on(self, day: str) -> Facts:
        """Return the facts after the notices of that day, in the latest stay; empty before the first stay."""
        begun = [stay for stay in self.stays if stay.since <= day]
        return self.facts((day, SEQUENCE_MAX), begun[-1]) if begun else {}

    @property
    def household(self) -> str:
        """Number of the household at the present municipality."""
        return self.facts()["household"]
