"""What the domains hold of one person: its notices and enrolments, folded in the order of effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from infra.verification.reference.notice import CHANGES, LEAVING, MUNICIPAL, NATIONAL, NEW, Enrolment
from infra.verification.reference.reference_order import Entry

Key = tuple[str, str | None]

_OF_DOMAIN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("local-tax", "child", "care"), ("name", "kana", "birth_date", "address", "household", "relationship")
    ),
    **dict.fromkeys(("pension", "nta"), ("name", "kana", "birth_date", "address")),
    "card": ("name", "kana", "birth_date", "sex", "address"),
}
_NATIONAL_KEEP = frozenset({"初期登録", "出生", "転出", "死亡"})


@dataclass
class Row:
    """One row of a domain's table; `facts` has the address even while the row doesn't show it.

    `open_since` is the day on which it last opened.
    """

    domain: str
    municipality: str | None
    status: str
    facts: dict[str, str]
    effective_on: str = ""
    open_since: str = ""

    def shown(self, *, protected: bool) -> dict[str, str | None]:
        """Status and the columns that the rule gives the domain (the household by its number)."""
        columns: dict[str, str | None] = {name: self.facts.get(name) for name in _OF_DOMAIN[self.domain]}
        if protected or self.status == "closed":
            columns["address"] = None
        return {"status": self.status, **columns}


@dataclass
class Person:
    """State of the fold. `local` holds each municipality's facts, `facts` the latest from anywhere.

    `readings` are the kana after the notices of each day from which on the person was known.
    """

    rows: dict[Key, Row] = field(default_factory=dict)
    idle: list[Enrolment] = field(default_factory=list)
    in_portal_since: str | None = None
    protected: bool = False
    dead: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    local: dict[str, dict[str, str]] = field(default_factory=dict)
    registered: set[str] = field(default_factory=set)
    left_as: dict[Key, str] = field(default_factory=dict)
    readings: dict[str, str] = field(default_factory=dict)

    # -- notices

    def apply(self, entry: Entry) -> None:
        """Bring in one notice."""
        with_effect = entry.notice.reason in NEW or entry.notice.municipality in self.registered
        self._protect(entry)
        if with_effect:
            self._learn(entry)
            self._to_local_tax(entry)
            for domain in MUNICIPAL:
                self._to_municipal(domain, entry)
            for domain in NATIONAL:
                self._to_national(domain, entry)
            self._settle(entry)
            self.readings[entry.notice.effective_on] = self.facts["kana"]

    def _protect(self, entry: Entry) -> None:
        if entry.notice.reason in ("支援措置開始", "支援措置終了"):
            self.protected = entry.notice.reason == "支援措置開始"
        elif entry.notice.reason == "出生" and entry.facts.get("protected") is True:
            self.protected = True

    def _learn(self, entry: Entry) -> None:
        """Facts first: rows are opened with them."""
        notice = entry.notice
        changed = _changed(entry)
        self.facts.update(changed)
        if notice.reason == "国外転出":
            self.facts["address"] = "国外"
        self.local.setdefault(notice.municipality, {}).update(changed)

    def _settle(self, entry: Entry) -> None:
        """Where the person is after the notice."""
        notice = entry.notice
        if notice.reason in NEW:
            self.registered.add(notice.municipality)
        elif notice.reason in LEAVING:
            self.registered.discard(notice.municipality)
        self.dead = self.dead or notice.reason == "死亡"

    def _to_local_tax(self, entry: Entry) -> None:
        key = ("local-tax", entry.notice.municipality)
        if entry.notice.reason in NEW:
            self._open(key, "active")
        else:
            self._update_or_close(key, entry)

    def _to_municipal(self, domain: str, entry: Entry) -> None:
        notice, key = entry.notice, (domain, entry.notice.municipality)
        row = self.rows.get(key)
        born_to_child = notice.reason == "出生" and domain == "child"
        if notice.reason not in NEW or (row and row.status != "closed"):
            self._update_or_close(key, entry)
        elif born_to_child or (notice.reason == "転入" and self._was_held(domain, notice.moved_from)):
            self._open(key, "candidate")

    def _was_held(self, domain: str, moved_from: str) -> bool:
        """Whether the row there was active or candidate until the move out (or still is)."""
        row = self.rows.get((domain, moved_from))
        if row and moved_from in self.registered:
            return row.status != "closed"
        return self.left_as.get((domain, moved_from), "closed") != "closed"

    def _update_or_close(self, key: Key, entry: Entry) -> None:
        row = self.rows.get(key)
        if entry.notice.reason in LEAVING:
            self.left_as[key] = row.status if row and entry.notice.reason == "転出" else "closed"
        if row is None or row.status == "closed":
            return
        if entry.notice.reason in LEAVING:
            row.status = "closed"
        else:
            row.facts.update(_changed(entry))

    def _to_national(self, domain: str, entry: Entry) -> None:
        row = self.rows.get((domain, None))
        if row is None or row.status == "closed":
            return
        if entry.notice.reason == "死亡":
            row.status = "closed"
        if entry.notice.reason not in _NATIONAL_KEEP:
            row.facts.update(_changed(entry))
        if entry.notice.reason == "国外転出":
            row.facts["address"] = "国外"

    def _open(self, key: Key, status: str) -> None:
        domain, municipality = key
        facts = dict(self.local[municipality] if municipality else self.facts)
        row = self.rows.get(key)
        before = (row.effective_on, row.open_since) if row else ("", "")
        self.rows[key] = Row(domain, municipality, status, facts, *before)

    # -- enrolments

    def enrol(self, enrolment: Enrolment) -> None:
        """Bring in one enrolment, or keep it as a conflict where the person can't be enrolled on that day."""
        municipality = enrolment.municipality
        if self.dead or not self.facts or (municipality and municipality not in self.registered):
            self.idle.append(enrolment)
        elif enrolment.domain == "portal":
            self.in_portal_since = min(self.in_portal_since or enrolment.since, enrolment.since)
        else:
            self._open((enrolment.domain, municipality), "active")


def _changed(entry: Entry) -> dict[str, str]:
    """The facts that the notice gives, of those that its reason changes."""
    return {name: str(entry.facts[name]) for name in CHANGES[entry.notice.reason] if name in entry.facts}


def fold(entries: Iterable[Entry], enrolments: Iterable[Enrolment]) -> Person:
    """All of one person: `entries` in the order of effect, each enrolment after the notices of its day."""
    person = Person()
    of_notices = [(entry.notice.effective_on, 0, entry) for entry in entries]
    of_enrolments = [(enrolment.since, 1, enrolment) for enrolment in enrolments]
    steps: list[tuple[str, int, Entry | Enrolment]] = [*of_notices, *of_enrolments]
    for day, _, step in sorted(steps, key=lambda dated: dated[:2]):
        before = _looks(person)
        if isinstance(step, Entry):
            person.apply(step)
        else:
            person.enrol(step)
        _date_changes(person, before, day)
    return person


def _looks(person: Person) -> dict[Key, dict[str, str | None]]:
    return {key: row.shown(protected=person.protected) for key, row in person.rows.items()}


def _date_changes(person: Person, before: dict[Key, dict[str, str | None]], day: str) -> None:
    """Rows that look different have changed on that day; those that were not open and are now have opened on it."""
    for key, look in _looks(person).items():
        if before.get(key) != look:
            person.rows[key].effective_on = day
        if before.get(key, {"status": "closed"})["status"] == "closed" != look["status"]:
            person.rows[key].open_since = day
