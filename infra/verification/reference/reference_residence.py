"""Where a person's registration is confirmed, computed again at each place in the order of effect."""

from __future__ import annotations

from dataclasses import dataclass, field

from infra.verification.reference.notice import Receipt
from infra.verification.reference.reference_order import PersonalNotice

#: The code of abroad among the municipalities.
OVERSEAS = "999999"


@dataclass
class Claim:
    """A municipality's statement that the person lives there, from the notice `entry` until it says otherwise.

    `brought_back` is when a cancelled move out or death was cancelled. An operator has `dropped` a claim by choosing
    another one that stood beside it.
    """

    entry: PersonalNotice
    brought_back: Receipt | None = None
    dropped: bool = False

    @property
    def municipality(self) -> str:
        """The municipality that makes the claim."""
        return self.entry.notice.municipality

    @property
    def place_in_line(self) -> Receipt:
        """The receipt by which claims are compared: the earliest counts."""
        return self.entry.received if self.brought_back is None else self.brought_back


@dataclass(frozen=True)
class Farewell:
    """What the confirmed municipality said when the person left or died there."""

    claim: Claim
    notice: PersonalNotice
    place_in_line: Receipt

    def allows(self, claim: Claim) -> bool:
        """Return whether the person may live, by this, where the claim says."""
        said, entry = self.notice.notice, claim.entry.notice
        if said.reason == "死亡":
            named = False
        elif said.reason == "国外転出" or said.moved_to == OVERSEAS:
            named = entry.reason != "転入"
        else:
            named = said.moved_to == entry.municipality
        return named or (entry.reason != "転入" and claim.entry.received < self.place_in_line)


@dataclass
class ReferenceResidence:
    """The claims that stand, by municipality, and the farewells in the order of effect.

    `chosen` and `rejected` are municipality and notice number of claims that an operator has decided about.
    """

    chosen: frozenset[tuple[str, str]] = frozenset()
    rejected: frozenset[tuple[str, str]] = frozenset()
    claims: dict[str, Claim] = field(default_factory=dict)
    farewells: list[Farewell] = field(default_factory=list)

    @property
    def dead(self) -> bool:
        """Whether the last thing said by a confirmed municipality is that the person died."""
        ended_by_death = [farewell.notice.notice.reason == "死亡" for farewell in self._standing_farewells()]
        return self.confirmed is None and ended_by_death[-1:] == [True]

    @property
    def abroad(self) -> bool:
        """Whether the last thing said by a confirmed municipality is that the person moved abroad."""
        said = [farewell.notice.notice for farewell in self._standing_farewells()]
        return self.confirmed is None and any(
            last.reason == "国外転出" or (last.reason == "転出" and last.moved_to == OVERSEAS)
            for last in said[-1:]
        )

    def _standing_farewells(self) -> list[Farewell]:
        return [farewell for farewell in self.farewells if farewell.notice.taken_back is None]

    @property
    def confirmed(self) -> str | None:
        """The municipality whose word counts."""
        chosen = [claim for claim in self.claims.values() if self._id(claim) in self.chosen]
        eligible = chosen or [claim for claim in self.claims.values() if self._may_count(claim)]
        first = min(eligible, key=lambda claim: (claim.place_in_line, claim.municipality), default=None)
        return first.municipality if first else None

    def _id(self, claim: Claim) -> tuple[str, str]:
        return claim.municipality, claim.entry.notice.number

    def is_decided(self, claim: Claim) -> bool:
        """Return whether an operator has decided for or against the claim."""
        return claim.dropped or self._id(claim) in self.chosen | self.rejected

    def _may_count(self, claim: Claim) -> bool:
        if claim.dropped or self._id(claim) in self.rejected:
            return False
        concerning = [farewell for farewell in self.farewells if farewell.claim is not claim]
        return not concerning or concerning[-1].allows(claim)

    def enter(self, notice: PersonalNotice) -> None:
        """Let a municipality's claim stand; one that stands already stays what it is."""
        self.claims.setdefault(notice.notice.municipality, Claim(notice))
        self._drop_others()

    def leave(self, notice: PersonalNotice) -> None:
        """End a municipality's claim; if it is the confirmed one, what it says counts for later claims."""
        municipality = notice.notice.municipality
        claim = self.claims[municipality]
        if self.confirmed == municipality:
            self.farewells.append(Farewell(claim, notice, claim.place_in_line))
        if notice.taken_back is None:
            del self.claims[municipality]
        else:
            claim.brought_back = notice.taken_back

    def _drop_others(self) -> None:
        if any(self._id(claim) in self.chosen for claim in self.claims.values()):
            for claim in self.claims.values():
                claim.dropped = claim.dropped or self._id(claim) not in self.chosen
