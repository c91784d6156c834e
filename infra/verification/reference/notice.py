"""What is handed over, as the reference model keeps it: notices, enrolments, accounts, and faults of form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Facts of a person by field name; dates are ISO text, which sorts as the days do.
Facts = Mapping[str, str | bool]

NEW = frozenset({"初期登録", "転入", "国外転入", "出生"})
LEAVING = frozenset({"転出", "国外転出", "死亡"})
CANCELLABLE = frozenset({"転居", "氏名変更", "世帯分離", "世帯合併", "世帯構成変更", "職権修正"})
LATE = frozenset({"氏名変更", "職権修正"})

EVERYTHING = ("name", "kana", "birth_date", "sex", "relationship", "household", "address")

#: What a notice of a reason changes, whatever else it shows.
CHANGES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NEW, EVERYTHING),
    "転居": ("address", "household"),
    "氏名変更": ("name", "kana"),
    "世帯主変更": ("relationship",),
    "世帯分離": ("household", "relationship"),
    "世帯合併": ("household", "relationship", "address"),
    "世帯構成変更": ("household", "relationship", "address"),
    "職権修正": ("address", "birth_date", "sex"),
    **dict.fromkeys(("転出", "死亡", "国外転出", "支援措置開始", "支援措置終了", "取消"), ()),
}

MUNICIPAL = ("child", "care")
NATIONAL = ("pension", "nta", "card")
ENROLLED = (*MUNICIPAL, *NATIONAL, "portal")


@dataclass(frozen=True)
class Notice:
    """A notice that is well formed: by persons (code to facts given), or by household."""

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
    """`domain` holds the person from `since` on; `municipality` is None but for municipal domains."""

    domain: str
    municipality: str | None
    code: str
    since: str


@dataclass(frozen=True)
class AccountEvent:
    """What happened to an account; the fields but `code` as the portal names them, "" where a closing left one away."""

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
class Submission:
    """One hand-over as it stands in a file: either `content`, or the `fault` of its form (a short code).

    Two have an equal `identity` exactly when they are the same but for running number, file and line.
    """

    source: str
    line: int
    submitter: str
    identity: object
    number: str | None = None
    reason: str | None = None
    content: Notice | Enrolment | AccountEvent | None = None
    fault: str | None = None
