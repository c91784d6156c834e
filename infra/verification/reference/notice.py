"""Notices, enrolments and account events as the reference model reads them, and the facts that each reason changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

#: Facts of a person by field name. Dates are ISO text, whose alphabetical order is the order of the days.
Facts = Mapping[str, str | bool]

#: Reasons by which a person becomes a resident.
ENTERING = frozenset({"初期登録", "転入", "国外転入", "出生"})
#: Reasons by which a person stops being a resident.
LEAVING = frozenset({"転出", "国外転出", "死亡"})
CANCELLABLE = frozenset({"転居", "氏名変更", "世帯分離", "世帯合併", "世帯構成変更", "職権修正", *LEAVING})
#: Reasons whose notices are accepted for a person who was a resident on the day of effect, even if not any more.
LATE_ALLOWED = frozenset({"氏名変更", "職権修正"})

ALL_FACTS = ("name", "kana", "birth_date", "sex", "relationship", "household", "address")

#: Reason -> facts that a notice changes. Any other facts in the notice have no effect.
CHANGED_FACTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ENTERING, ALL_FACTS),
    "転居": ("address", "household"),
    "氏名変更": ("name", "kana"),
    "世帯主変更": ("relationship",),
    "世帯分離": ("household", "relationship"),
    "世帯合併": ("household", "relationship", "address"),
    "世帯構成変更": ("household", "relationship", "address"),
    "職権修正": ("address", "birth_date", "sex"),
    **dict.fromkeys(("転出", "死亡", "国外転出", "支援措置開始", "支援措置終了", "取消"), ()),
}

#: Domains that have a person only if enrolled: with a row per municipality, or with one row.
MUNICIPAL = ("child", "care")
NATIONAL = ("pension", "nta", "card")
#: Domains that a person can be enrolled in.
ENROLLED = (*MUNICIPAL, *NATIONAL, "portal")


#: When a submission was received: anything that sorts in the order of receipt.
Receipt = tuple[object, ...]


@dataclass(frozen=True)
class Notice:
    """A notice without faults.

    It names either `persons` (resident record code -> facts), or `household` with the facts `to` that change for all
    of its members.
    """

    number: str
    municipality: str
    reason: str
    effective_on: str
    recorded_on: str
    persons: Mapping[str, Facts] = field(default_factory=dict)
    household: str | None = None
    to: Facts = field(default_factory=dict)
    moved_from: str = ""
    moved_to: str = ""
    cancels: str = ""


@dataclass(frozen=True)
class Enrolment:
    """From day `since` on, `domain` has a record of the person. `municipality` is set for municipal domains only."""

    domain: str
    municipality: str | None
    code: str
    since: str


@dataclass(frozen=True)
class AccountEvent:
    """One event of an account, with the portal's field names. A field that a CLOSED event omits is ""."""

    code: str
    event: str
    account: str
    effective_on: str
    holder_kana: str = ""
    bank: str = ""
    branch: str = ""
    type: str = ""
    number: str = ""


@dataclass(frozen=True)
class EntityEvent:
    """An event of a declared entity, or `Cancelled`, which takes back the one whose number is in `cancels`.

    `system` and `part` (its municipality, None for a national system) are the submitter. `fields` are those given.
    `others` are the other persons whom the submission names: it has one such event for each of them.
    """

    system: str
    part: str | None
    code: str
    number: str
    event: str
    effective_on: str
    recorded_on: str
    fields: Mapping[str, str | None] = field(default_factory=dict)
    cancels: str | None = None
    received: Receipt = ()
    others: frozenset[str] = frozenset()

    def for_each(self) -> list[EntityEvent]:
        """Return the event of each person whom the submission names."""
        everybody = {self.code, *self.others}
        return [replace(self, code=code, others=frozenset(everybody - {code})) for code in sorted(everybody)]


@dataclass(frozen=True)
class Submission:
    """One submission from a file, with its `content` or, if it can't be read, its `fault` (a short code).

    `source` is the file's name. `submitter` is the municipality of a register, and "" for whatever else. Two
    submissions have the same `identity` exactly if they differ in nothing but running number, file and line. `system`
    and `part` are the submitter of events of declared entities.
    """

    source: str
    line: int
    submitter: str
    identity: object
    number: str | None = None
    reason: str | None = None
    content: Notice | Enrolment | AccountEvent | EntityEvent | None = None
    fault: str | None = None
    system: str | None = None
    part: str | None = None
