"""Enrolments of the city's residents, and the portal's account events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from infra.verification.synthetic.city import FIRST_DAY, City
from infra.verification.synthetic.municipality import SyntheticRegister, add_days
from infra.verification.synthetic.residents import Resident

ENROLMENT_HEADER = "業務,市区町村コード,住民票コード,開始日"
_BANKS = ("0001", "0005", "0009", "0033", "9900")
_CHILD_BORN_FROM, _OLD_BORN_UNTIL, _ADULT_BORN_UNTIL = "2010-01-01", "1961-12-31", "2006-03-31"


def first_enrolments(city: City, person: Resident, register: SyntheticRegister) -> Iterator[str]:
    """Yield random enrolment rows of a person who is registered on the first day."""
    born, draw = person.facts()["birth_date"], city.rng.random
    municipality = register.municipality.code
    probabilities = {
        f"child,{municipality}": 0.9 if born >= _CHILD_BORN_FROM else 0.1,
        f"care,{municipality}": 0.8 if born <= _OLD_BORN_UNTIL else 0.05,
        "pension,": 0.85 if born <= _ADULT_BORN_UNTIL else 0.0,
        "nta,": 0.6 if born <= _ADULT_BORN_UNTIL else 0.05,
        "card,": 0.75,
        "portal,": 0.4,
    }
    for domain, probability in probabilities.items():
        if draw() < probability:
            yield f"{domain},{person.code},{FIRST_DAY}"


def daily_enrolments(city: City, number: int) -> Iterator[str]:
    """Yield up to `number` rows at the end of the day, of residents or of candidates, and some without effect."""
    for _ in range(number):
        yield from (
            _enrol_candidate(city) if city.moved_in and city.rng.random() < 0.4 else _enrol_resident(city)
        )
    if city.rng.random() < 0.5:
        yield from _enrol_without_effect(city)


def _enrol_resident(city: City) -> Iterator[str]:
    if not (household := city.pick_household()):
        return
    register, _, members = household
    code = city.rng.choice(members).code
    domain = city.rng.choice(("child", "care", "pension", "nta", "card", "portal"))
    municipality = register.municipality.code if domain in ("child", "care") else ""
    yield f"{domain},{municipality},{code},{city.today}"


def _enrol_candidate(city: City) -> Iterator[str]:
    person, register = city.moved_in[city.rng.randrange(len(city.moved_in))]
    if person.stay is not None and person.stay.municipality == register.municipality.code:
        yield f"{city.rng.choice(('child', 'care'))},{register.municipality.code},{person.code},{city.today}"


def _enrol_without_effect(city: City) -> Iterator[str]:
    """Yield the enrolment of a dead person, or in a municipality where the person is not a resident."""
    if city.dead and city.rng.random() < 0.5:
        yield _conflict(city, "pension", None, city.rng.choice(city.dead))
    elif household := city.pick_household():
        home, _, members = household
        other = city.rng.choice([register for register in city.registers if register is not home])
        yield _conflict(city, city.rng.choice(("child", "care")), other.municipality.code, members[0])


def _conflict(city: City, domain: str, municipality: str | None, person: Resident) -> str:
    row = f"{domain},{municipality or ''},{person.code},{city.today}"
    if row not in city.conflicting:
        city.conflicting.add(row)
        city.expected.conflicts[domain, municipality, city.today] += 1
    return row


def account_events(city: City, days: int) -> Iterator[str]:
    """Yield the portal's account events in the order of recording, as JSON lines of its schema portal-event."""
    events = [
        event
        for number, person in enumerate(city.residents, start=city.first_index)
        for event in _events_of_person(city, person, number, days)
    ]
    for _, event in sorted(events, key=lambda dated: dated[0]):
        yield json.dumps({"account": event}, ensure_ascii=False)


#: Day of recording, and the event.
DatedEvent = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class SyntheticAccount:
    """A public-money account: its ID at the portal, the holder's resident record code and reading."""

    account: str
    code: str
    holder_kana: str


def _events_of_person(city: City, person: Resident, number: int, days: int) -> Iterator[DatedEvent]:
    """Yield a person's events.

    Three in ten adults have an account. Few of these have a second one or one in another's name; some are changed or
    closed. `number` distinguishes the accounts of all residents.
    """
    first = add_days(FIRST_DAY, city.rng.randrange(28))
    known = person.facts_on(first)
    if not known or known["birth_date"] > _ADULT_BORN_UNTIL or person.dead or city.rng.random() > 0.3:
        return
    other_reading = city.rng.choice(city.residents).facts()["kana"] if city.rng.random() < 0.02 else None
    account = SyntheticAccount(f"A{number:08d}", person.code, other_reading or known["kana"])
    yield _event(city, "REGISTERED", account, first)
    kind, day = city.rng.random(), add_days(first, city.rng.randint(1, max(1, days)))
    account = replace(account, holder_kana=other_reading or person.facts_on(day)["kana"])
    if kind < 0.05:
        yield _event(city, "REGISTERED", replace(account, account=f"B{number:08d}"), day)
    elif kind < 0.15:
        yield _event(city, "CHANGED", account, day)
    elif kind < 0.2:
        yield _event(city, "CLOSED", account, day)
    elif kind < 0.22:
        yield _event(city, "CLOSED", account, day)
        yield _event(city, "REGISTERED", replace(account, account=f"C{number:08d}"), add_days(day, 1))


def _event(city: City, event: str, account: SyntheticAccount, day: str) -> DatedEvent:
    draw, choice = city.rng.randrange, city.rng.choice
    return add_days(day, draw(3)), {
        "event": event, "account": account.account, "code": account.code, "holder_kana": account.holder_kana,
        "bank": choice(_BANKS), "branch": f"{draw(1000):03d}", "type": choice(("普通", "当座")),
        "number": f"{draw(10**7):07d}", "effective_on": day,
    }  # fmt: skip
