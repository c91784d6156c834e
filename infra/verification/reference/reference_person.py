"""What the domains must have about one person: the fold of the person's notices and enrolments, in order of effect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from infra.verification.reference.notice import (
    CHANGED_FACTS,
    ENTERING,
    LEAVING,
    MUNICIPAL,
    NATIONAL,
    Enrolment,
)
from infra.verification.reference.reference_life import LifeDay, qualified
from infra.verification.reference.reference_order import PersonalNotice
from infra.verification.reference.reference_residence import ReferenceResidence

#: Domain and municipality, None for a national domain.
RowKey = tuple[str, str | None]

_FACTS_BY_DOMAIN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("local-tax", "child", "care"), ("name", "kana", "birth_date", "address", "household", "relationship")
    ),
    **dict.fromkeys(("pension", "nta"), ("name", "kana", "birth_date", "address")),
    "card": ("name", "kana", "birth_date", "sex", "address"),
}
#: Reasons that change no facts in the row of a national domain.
_NO_NATIONAL_CHANGE = frozenset({"初期登録", "出生", "転出", "死亡"})


@dataclass
class Row:
    """One row of a domain's table.

    `facts` has the address even while the row must not show it. `open_since` is the day on which the row last opened.
    """

    domain: str
    municipality: str | None
    status: str
    facts: dict[str, str]
    effective_on: str = ""
    open_since: str = ""

    def visible_columns(self, *, protected: bool) -> dict[str, str | None]:
        """Return status and the columns that the domain receives, with the household by its number."""
        columns: dict[str, str | None] = {
            name: self.facts.get(name) for name in _FACTS_BY_DOMAIN[self.domain]
        }
        if protected or self.status == "closed":
            columns["address"] = None
        return {"status": self.status, **columns}


@dataclass
class Person:
    """State of the fold.

    `facts` are the latest facts from a confirmed municipality, `local_facts` those of each municipality, `residence`
    the claims to the person. `confirmed_since` is the confirmed municipality and the day since which it is. `readings`
    maps each day with notices to the person's reading after them. `days` has what holds after each day with notices,
    `open_rows` the keys of the rows that are open after each day. `measure_ahead` is the day of the notice by which the
    person is protected already, although that day hasn't come; "" if a measure of before is in force, or none is.
    `conflicting_enrolments`, `unconfirmed_deaths` and `unconfirmed_protection_ends` (municipality, number) have no
    effect.
    """

    residence: ReferenceResidence = field(default_factory=ReferenceResidence)
    rows: dict[RowKey, Row] = field(default_factory=dict)
    conflicting_enrolments: list[Enrolment] = field(default_factory=list)
    unconfirmed_deaths: list[tuple[str, str]] = field(default_factory=list)
    unconfirmed_protection_ends: list[tuple[str, str]] = field(default_factory=list)
    in_portal_since: str | None = None
    protected: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    local_facts: dict[str, dict[str, str]] = field(default_factory=dict)
    registered: set[str] = field(default_factory=set)
    confirmed_since: tuple[str | None, str] = (None, "")
    status_when_leaving: dict[RowKey, str] = field(default_factory=dict)
    readings: dict[str, str] = field(default_factory=dict)
    days: list[LifeDay] = field(default_factory=list)
    open_rows: dict[str, frozenset[RowKey]] = field(default_factory=dict)
    measure_ahead: str = ""

    # -- notices

    def apply(self, notice: PersonalNotice) -> None:
        """Apply the next notice.

        Update the facts before the rows, as rows are opened with them, and the registration last, as rows depend on
        where the person was registered before the notice.
        """
        municipality, day = notice.notice.municipality, notice.notice.effective_on
        entering = notice.notice.reason in ENTERING
        self._update_protection(notice)
        if not entering and municipality not in self.registered:
            return
        if notice.taken_back is not None:
            self.residence.leave(notice)
            self._follow_confirmed(day)
            return
        if entering:
            self.residence.enter(notice)
        counts = self.residence.confirmed == municipality
        self._update_facts(notice, counts=counts)
        self._update_local_tax(notice)
        for domain in MUNICIPAL:
            self._update_municipal(domain, notice, counts=counts)
        if counts:
            for domain in NATIONAL:
                self._update_national(domain, notice)
        self._update_registration(notice, counts=counts)
        self._follow_confirmed(day, by_itself=municipality if entering else None)
        if self.facts:
            self.readings[day] = self.facts["kana"]

    def _follow_confirmed(self, day: str, by_itself: str | None = None) -> None:
        """Let a municipality that becomes the confirmed one take effect with all that it has given."""
        before, now = self.confirmed_since[0], self.residence.confirmed
        if before == now:
            return
        self.confirmed_since = now, day
        if now is None or now == by_itself:
            return
        entry = self.residence.claims[now].entry.notice
        self.facts = dict(self.local_facts[now])
        for domain in MUNICIPAL:
            row = self.rows.get((domain, now))
            if row is None or row.status == "closed":
                born = entry.reason == "出生" and domain == "child"
                moved = entry.reason == "転入" and self._had_open_row_at_origin(domain, entry.moved_from)
                if born or moved:
                    self._open((domain, now), "candidate")
        for domain in NATIONAL:
            row = self.rows.get((domain, None))
            if row is not None and row.status != "closed":
                row.facts.update(self.facts)

    def _update_protection(self, notice: PersonalNotice) -> None:
        reason, municipality = notice.notice.reason, notice.notice.municipality
        if notice.protects:
            self.protected = True
        elif reason == "支援措置終了" and self.residence.confirmed == municipality:
            self.protected = False
        elif reason == "支援措置終了":
            self.unconfirmed_protection_ends.append((municipality, notice.notice.number))

    def _update_facts(self, notice: PersonalNotice, *, counts: bool) -> None:
        changed = _changed_facts(notice)
        self.local_facts.setdefault(notice.notice.municipality, {}).update(changed)
        if counts:
            self.facts.update(changed)
            if notice.notice.reason == "国外転出":
                self.facts["address"] = "国外"

    def _update_registration(self, notice: PersonalNotice, *, counts: bool) -> None:
        reason, municipality = notice.notice.reason, notice.notice.municipality
        if reason in ENTERING:
            self.registered.add(municipality)
        elif reason in LEAVING:
            self.registered.discard(municipality)
            self.residence.leave(notice)
            if reason == "死亡" and not counts:
                self.unconfirmed_deaths.append((municipality, notice.notice.number))

    def _update_local_tax(self, notice: PersonalNotice) -> None:
        key = ("local-tax", notice.notice.municipality)
        if notice.notice.reason in ENTERING:
            self._open(key, "active")
        else:
            self._update_or_close(key, notice)

    def _update_municipal(self, domain: str, notice: PersonalNotice, *, counts: bool) -> None:
        reason, key = notice.notice.reason, (domain, notice.notice.municipality)
        row = self.rows.get(key)
        born_to_child = reason == "出生" and domain == "child"
        if reason not in ENTERING or (row and row.status != "closed"):
            self._update_or_close(key, notice)
        elif counts and (
            born_to_child
            or (reason == "転入" and self._had_open_row_at_origin(domain, notice.notice.moved_from))
        ):
            self._open(key, "candidate")

    def _had_open_row_at_origin(self, domain: str, moved_from: str) -> bool:
        """Return whether the row there was active or candidate until the move out, or still is."""
        row = self.rows.get((domain, moved_from))
        if row and moved_from in self.registered:
            return row.status != "closed"
        return self.status_when_leaving.get((domain, moved_from), "closed") != "closed"

    def _update_or_close(self, key: RowKey, notice: PersonalNotice) -> None:
        reason, row = notice.notice.reason, self.rows.get(key)
        if reason in LEAVING:
            self.status_when_leaving[key] = row.status if row and reason == "転出" else "closed"
        if row is None or row.status == "closed":
            return
        if reason in LEAVING:
            row.status = "closed"
        else:
            row.facts.update(_changed_facts(notice))

    def _update_national(self, domain: str, notice: PersonalNotice) -> None:
        reason, row = notice.notice.reason, self.rows.get((domain, None))
        if row is None or row.status == "closed":
            return
        if reason == "死亡":
            row.status = "closed"
        if reason not in _NO_NATIONAL_CHANGE:
            row.facts.update(_changed_facts(notice))
        if reason == "国外転出":
            row.facts["address"] = "国外"

    def _open(self, key: RowKey, status: str) -> None:
        domain, municipality = key
        facts = dict(self.local_facts[municipality] if municipality else self.facts)
        row = self.rows.get(key)
        days = (row.effective_on, row.open_since) if row else ("", "")
        self.rows[key] = Row(domain, municipality, status, facts, *days)

    def end_day(self, day: str) -> None:
        """Note what holds at the end of a day with notices."""
        confirmed = self.residence.confirmed
        facts = qualified(self.facts, confirmed)
        if confirmed is None and self.days and "household" in facts:
            facts["household"] = self.days[-1].facts["household"]
        state = LifeDay(day, confirmed, facts, self.residence.dead, self.residence.abroad, self.protected)
        self.days = [*(each for each in self.days if each.day != day), state]

    # -- enrolments

    def enrol(self, enrolment: Enrolment) -> None:
        """Apply one enrolment, or keep it as a conflict if the person can't be enrolled on that day."""
        municipality = enrolment.municipality
        if self.residence.dead or not self.facts or (municipality and municipality not in self.registered):
            self.conflicting_enrolments.append(enrolment)
        elif enrolment.domain == "portal":
            self.in_portal_since = min(self.in_portal_since or enrolment.since, enrolment.since)
        else:
            self._open((enrolment.domain, municipality), "active")


def _changed_facts(notice: PersonalNotice) -> dict[str, str]:
    """Return those of the notice's facts that its reason changes."""
    changed = CHANGED_FACTS[notice.notice.reason]
    return {name: str(notice.facts[name]) for name in changed if name in notice.facts}


def fold(
    notices: Iterable[PersonalNotice],
    enrolments: Iterable[Enrolment],
    residence: ReferenceResidence | None = None,
) -> Person:
    """Return a person's state after all `notices`, which are in order of effect, and all enrolments.

    An enrolment applies after the notices of its day. `residence` has an operator's decisions and nothing else.
    """
    person = Person(residence or ReferenceResidence())
    dated_notices = [(notice.notice.effective_on, 0, notice) for notice in notices]
    dated_enrolments = [(enrolment.since, 1, enrolment) for enrolment in enrolments]
    events: list[tuple[str, int, PersonalNotice | Enrolment]] = [*dated_notices, *dated_enrolments]
    for day, _, event in sorted(events, key=lambda dated: dated[:2]):
        before = _visible_rows(person)
        if isinstance(event, PersonalNotice):
            person.apply(event)
            person.end_day(day)
        else:
            person.enrol(event)
        _date_changes(person, before, day)
        person.open_rows[day] = frozenset(key for key, row in person.rows.items() if row.status != "closed")
    return person


def fold_until(today: str, notices: Sequence[PersonalNotice], enrolments: Iterable[Enrolment]) -> Person:
    """Return a person's state on a day, as `fold`: what takes effect later has none yet, but measures have begun."""
    has_come = [notice for notice in notices if notice.notice.effective_on <= today]
    person = fold(has_come, [enrolment for enrolment in enrolments if enrolment.since <= today])
    days = [notice.notice.effective_on for notice in notices if notice.protects]
    ahead = [day for day in days if day > today]
    if ahead and not person.protected:
        before = _visible_rows(person)
        person.protected, person.measure_ahead = True, min(ahead)
        _date_changes(person, before, person.measure_ahead)
    return person


def _visible_rows(person: Person) -> dict[RowKey, dict[str, str | None]]:
    return {key: row.visible_columns(protected=person.protected) for key, row in person.rows.items()}


def _date_changes(person: Person, before: dict[RowKey, dict[str, str | None]], day: str) -> None:
    """Set the day of effect of rows that differ from `before`, and the opening day of those that opened since."""
    for key, columns in _visible_rows(person).items():
        if before.get(key) != columns:
            person.rows[key].effective_on = day
        if before.get(key, {"status": "closed"})["status"] == "closed" != columns["status"]:
            person.rows[key].open_since = day
