"""What several domains have in common: columns, and columns of the table domain × reason."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.reasons import Reason
from schemas.systems.model import ABROAD, Action, Rule

#: Personal columns of the municipal domains, and of the national ones (the card service adds the sex).
NATIONAL_COLUMNS: Final = ("name", "kana", "roman", "birth_date", "address")
MUNICIPAL_COLUMNS: Final = (*NATIONAL_COLUMNS, "household_code", "relationship")
CARD_COLUMNS: Final = ("name", "kana", "roman", "birth_date", "sex", "address")

#: Every domain that keeps facts does the same with these.
EVERYWHERE: Final[Mapping[Reason, Action]] = MappingProxyType(
    {
        Reason.MOVED_WITHIN: Action.UPDATE,
        Reason.NAME_CHANGED: Action.UPDATE,
        Reason.HEAD_CHANGED: Action.UPDATE,
        Reason.HOUSEHOLD_SPLIT: Action.UPDATE,
        Reason.HOUSEHOLD_JOINED: Action.UPDATE,
        Reason.HOUSEHOLD_CHANGED: Action.UPDATE,
        Reason.CORRECTED: Action.UPDATE,
        Reason.DIED: Action.CLOSE,
        Reason.PROTECTION_BEGUN: Action.UPDATE,
        Reason.PROTECTION_ENDED: Action.UPDATE,
    }
)

#: Who moves in brings a candidate along where they were held; who leaves is closed at the origin.
MUNICIPAL_ENROLLED: Final[Mapping[Reason, Action]] = MappingProxyType(
    {
        **EVERYWHERE,
        Reason.MOVED_IN: Action.OPEN_CANDIDATE_IF_HELD_AT_ORIGIN,
        Reason.MOVED_OUT: Action.CLOSE,
        Reason.MOVED_ABROAD: Action.CLOSE,
    }
)

#: The move in brings the new address, so a move out says nothing; abroad has an address of its own.
NATIONAL_ENROLLED: Final[Mapping[Reason, Action]] = MappingProxyType(
    {**EVERYWHERE, Reason.MOVED_IN: Action.UPDATE, Reason.MOVED_IN_FROM_ABROAD: Action.UPDATE}
)


def moved_abroad(basis: str) -> Mapping[Reason, Rule]:
    """National domains keep who moved abroad, under an address that says no more than that."""
    return {
        Reason.MOVED_ABROAD: Rule(Action.UPDATE, ("address",), basis, MappingProxyType({"address": ABROAD}))
    }


def protection(basis: str) -> Mapping[Reason, Rule]:
    """While the measure is in force the address is withheld, then given again."""
    rule = Rule(Action.UPDATE, ("address",), basis)
    return {Reason.PROTECTION_BEGUN: rule, Reason.PROTECTION_ENDED: rule}
