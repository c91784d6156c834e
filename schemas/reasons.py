"""Reasons of change (異動事由): their symbols in events, the registers' terms, and the facts that each changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Reason(StrEnum):
    """The symbols of the Avro enum `Reason`. UNKNOWN is a reason that an older reader doesn't know."""

    FIRST_REGISTERED = "FIRST_REGISTERED"
    MOVED_IN = "MOVED_IN"
    MOVED_WITHIN = "MOVED_WITHIN"
    MOVED_OUT = "MOVED_OUT"
    MOVED_ABROAD = "MOVED_ABROAD"
    MOVED_IN_FROM_ABROAD = "MOVED_IN_FROM_ABROAD"
    BORN = "BORN"
    DIED = "DIED"
    NAME_CHANGED = "NAME_CHANGED"
    HEAD_CHANGED = "HEAD_CHANGED"
    HOUSEHOLD_SPLIT = "HOUSEHOLD_SPLIT"
    HOUSEHOLD_JOINED = "HOUSEHOLD_JOINED"
    HOUSEHOLD_CHANGED = "HOUSEHOLD_CHANGED"
    CORRECTED = "CORRECTED"
    PROTECTION_BEGUN = "PROTECTION_BEGUN"
    PROTECTION_ENDED = "PROTECTION_ENDED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def japanese(self) -> str:
        """The registers' term. Raises KeyError for UNKNOWN, which no register writes."""
        return JAPANESE[self]


#: The registers' term of each reason but UNKNOWN.
JAPANESE: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.FIRST_REGISTERED: "初期登録",
        Reason.MOVED_IN: "転入",
        Reason.MOVED_WITHIN: "転居",
        Reason.MOVED_OUT: "転出",
        Reason.MOVED_ABROAD: "国外転出",
        Reason.MOVED_IN_FROM_ABROAD: "国外転入",
        Reason.BORN: "出生",
        Reason.DIED: "死亡",
        Reason.NAME_CHANGED: "氏名変更",
        Reason.HEAD_CHANGED: "世帯主変更",
        Reason.HOUSEHOLD_SPLIT: "世帯分離",
        Reason.HOUSEHOLD_JOINED: "世帯合併",
        Reason.HOUSEHOLD_CHANGED: "世帯構成変更",
        Reason.CORRECTED: "職権修正",
        Reason.PROTECTION_BEGUN: "支援措置開始",
        Reason.PROTECTION_ENDED: "支援措置終了",
        Reason.CANCELLED: "取消",
    }
)

#: The reason of each term.
BY_JAPANESE: Final[Mapping[str, Reason]] = MappingProxyType(
    {term: reason for reason, term in JAPANESE.items()}
)

#: All facts that a notice can give, by their names in the record `Facts`. `protected` isn't among them: see
#: PROTECTION_BEGUN and PROTECTION_ENDED.
FACTS: Final = ("name", "kana", "birth_date", "sex", "relationship", "household", "address")

#: Reasons by which a person becomes a resident of the municipality: the notice gives all facts.
NEW_THERE: Final = frozenset(
    {Reason.FIRST_REGISTERED, Reason.MOVED_IN, Reason.MOVED_IN_FROM_ABROAD, Reason.BORN}
)

#: Reasons by which a person stops being a resident of the municipality.
ENDS_RESIDENCE: Final = frozenset({Reason.MOVED_OUT, Reason.MOVED_ABROAD, Reason.DIED})

#: Reasons whose notices a later notice (取消) can cancel; a clerk decides on a cancellation of any other.
CANCELLABLE: Final = frozenset(
    {
        Reason.MOVED_WITHIN,
        Reason.NAME_CHANGED,
        Reason.HOUSEHOLD_SPLIT,
        Reason.HOUSEHOLD_JOINED,
        Reason.HOUSEHOLD_CHANGED,
        Reason.CORRECTED,
        *ENDS_RESIDENCE,
    }
)

#: The facts that each reason changes, whatever else the notice shows. A reason that changes none still has an effect
#: by the domains' rules.
FIELDS_BY_REASON: Final[Mapping[Reason, frozenset[str]]] = MappingProxyType(
    {reason: frozenset[str]() for reason in JAPANESE}
    | dict.fromkeys(NEW_THERE, frozenset(FACTS))
    | {
        Reason.MOVED_WITHIN: frozenset({"address", "household"}),
        Reason.NAME_CHANGED: frozenset({"name", "kana"}),
        Reason.HEAD_CHANGED: frozenset({"relationship"}),
        Reason.HOUSEHOLD_SPLIT: frozenset({"household", "relationship"}),
        Reason.HOUSEHOLD_JOINED: frozenset({"household", "relationship", "address"}),
        Reason.HOUSEHOLD_CHANGED: frozenset({"household", "relationship", "address"}),
        Reason.CORRECTED: frozenset({"address", "birth_date", "sex"}),
    }
)
