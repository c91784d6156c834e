"""Columns and actions by reason that several domains share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.reasons import Reason
from schemas.systems.model import ABROAD, Action, Rule

#: Personal columns of the municipal domains, and of the national ones (the card service also receives the sex).
NATIONAL_COLUMNS: Final = ("name", "kana", "roman", "birth_date", "address")
MUNICIPAL_COLUMNS: Final = (*NATIONAL_COLUMNS, "household_code", "relationship")
CARD_COLUMNS: Final = ("name", "kana", "roman", "birth_date", "sex", "address")

#: Actions that are the same in every domain that stores facts.
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

#: A move in opens a candidate if the domain had an open row at the municipality moved from; a move out closes the row.
#: A municipality may register a resident a second time (first registration, birth, return from abroad): an open row
#: then follows the register. Without an open row these three have no effect, as UPDATE never opens one.
MUNICIPAL_ENROLLED: Final[Mapping[Reason, Action]] = MappingProxyType(
    {
        **EVERYWHERE,
        Reason.FIRST_REGISTERED: Action.UPDATE,
        Reason.BORN: Action.UPDATE,
        Reason.MOVED_IN_FROM_ABROAD: Action.UPDATE,
        Reason.MOVED_IN: Action.OPEN_CANDIDATE_IF_OPEN_AT_ORIGIN,
        Reason.MOVED_OUT: Action.CLOSE,
        Reason.MOVED_ABROAD: Action.CLOSE,
    }
)

#: A move out has no effect, because the move in brings the new address; for a move abroad see `moved_abroad`.
NATIONAL_ENROLLED: Final[Mapping[Reason, Action]] = MappingProxyType(
    {**EVERYWHERE, Reason.MOVED_IN: Action.UPDATE, Reason.MOVED_IN_FROM_ABROAD: Action.UPDATE}
)


def moved_abroad(basis: str) -> Mapping[Reason, Rule]:
    """Return the rule of a move abroad in a national domain: the row stays open, with 国外 as address."""
    return {
        Reason.MOVED_ABROAD: Rule(Action.UPDATE, ("address",), basis, MappingProxyType({"address": ABROAD}))
    }


def protection(basis: str) -> Mapping[Reason, Rule]:
    """Return the rules that withhold the address while a protection measure is in force, and restore it afterwards."""
    rule = Rule(Action.UPDATE, ("address",), basis)
    return {Reason.PROTECTION_BEGUN: rule, Reason.PROTECTION_ENDED: rule}
