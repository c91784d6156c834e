"""Residents as the simulation keeps them: what a register listed of each, folded in the order of effect."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Facts of a person by field name.
Facts = dict[str, str]
#: Day of effect, and the running number of the notice among all.
Position = tuple[str, int]

#: A running number above all.
AFTER_ALL = 1 << 62


@dataclass(slots=True, eq=False)
class RecordedNotice:
    """A notice as its register listed it. `changes` has each person's facts that it changes."""

    number: str
    reason: str
    position: Position
    recorded_on: str
    changes: dict[Resident, Facts]
    stays: tuple[Stay, ...] = ()
    cancelled: bool = False


@dataclass(slots=True, eq=False)
class Stay:
    """A person's time as resident of one municipality, from the notice that brought them there."""

    municipality: str
    local_number: str
    filed: list[RecordedNotice] = field(default_factory=list)
    left: Position | None = None

    @property
    def since(self) -> str:
        """Day of effect of the notice that began it."""
        return self.filed[0].position[0]


@dataclass(slots=True, eq=False)
class Resident:
    """One person. `stay` is None for who left for abroad, is on the way or dead; `stays` are all, in their order."""

    code: str
    stay: Stay | None = None
    stays: list[Stay] = field(default_factory=list)
    protected: bool = False
    dead: bool = False
    carried: Facts = field(default_factory=dict)

    def facts(self, until: Position | None = None, stay: Stay | None = None) -> Facts:
        """What the register knows, up to a position in the order of effect."""
        at = stay or self.stay
        if at is None:
            return dict(self.carried)
        known: Facts = {}
        for filed in sorted(at.filed, key=lambda filed: filed.position):
            if not filed.cancelled and (until is None or filed.position <= until):
                known |= filed.changes[self]
        return known

    def facts_on(self, day: str) -> Facts:
        """What was known of the person after the notices of that day, wherever they were registered last."""
        begun = [stay for stay in self.stays if stay.since <= day]
        return self.facts((day, AFTER_ALL), begun[-1]) if begun else {}

    @property
    def household(self) -> str:
        """Number of the household at the present municipality."""
        return self.facts()["household"]
