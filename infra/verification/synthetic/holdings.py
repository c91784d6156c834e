"""Which domains hold whom since when, and the portal's accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from infra.verification.synthetic.city import FIRST_DAY, City
from infra.verification.synthetic.municipality import SyntheticRegister, later
from infra.verification.synthetic.residents import Resident

ENROLMENT_HEADER = "業務,市区町村コード,住民票コード,開始日"
_BANKS = ("0001", "0005", "0009", "0033", "9900")
_CHILD_BORN_FROM, _OLD_BORN_UNTIL, _ADULT_BORN_UNTIL = "2010-01-01", "1961-12-31", "2006-03-31"


def at_first(city: City, person: Resident, register: SyntheticRegister) -> Iterator[str]:
    """Rows for somebody registered on the first day."""
    born, draw = person.facts()["birth_date"], city.chance.random
    at = register.place.code
    wanted = {
        f"child,{at}": 0.9 if born >= _CHILD_BORN_FROM else 0.1,
        f"care,{at}": 0.8 if born <= _OLD_BORN_UNTIL else 0.05,
        "pension,": 0.85 if born <= _ADULT_BORN_UNTIL else 0.0,
        "nta,": 0.6 if born <= _ADULT_BORN_UNTIL else 0.05,
        "card,": 0.75,
        "portal,": 0.4,
    }
    yield from (f"{domain},{person.code},{FIRST_DAY}" for domain, share in wanted.items() if draw() < share)


def of_today(city: City, number: int) -> Iterator[str]:
    """So many more at the end of the day: new ones, candidates confirmed, and some that come to nothing."""
    for _ in range(number):
        yield from _confirmed(city) if city.moved and city.chance.random() < 0.4 else _new(city)
    if city.chance.random() < 0.5:
        yield from _to_nothing(city)


def _new(city: City) -> Iterator[str]:
    if not (home := city.home()):
        return
    register, _, members = home
    code = city.chance.choice(members).code
    domain = city.chance.choice(("child", "care", "pension", "nta", "card", "portal"))
    at = register.place.code if domain in ("child", "care") else ""
    yield f"{domain},{at},{code},{city.today}"


def _confirmed(city: City) -> Iterator[str]:
    person, register = city.moved[city.chance.randrange(len(city.moved))]
    if person.stay is not None and person.stay.municipality == register.place.code:
        yield f"{city.chance.choice(('child', 'care'))},{register.place.code},{person.code},{city.today}"


def _to_nothing(city: City) -> Iterator[str]:
    """The dead, and somebody in a municipality where they are no resident."""
    if city.dead and city.chance.random() < 0.5:
        yield _conflict(city, "pension", None, city.chance.choice(city.dead))
    elif home := city.home():
        elsewhere = city.chance.choice([one for one in city.registers if one is not home[0]])
        yield _conflict(city, city.chance.choice(("child", "care")), elsewhere.place.code, home[2][0])


def _conflict(city: City, domain: str, at: str | None, person: Resident) -> str:
    row = f"{domain},{at or ''},{person.code},{city.today}"
    if row not in city.conflicting:
        city.conflicting.add(row)
        city.expected.conflicts[domain, at, city.today] += 1
    return row


def accounts(city: City, days: int) -> Iterator[str]:
    """The portal's events of accounts in the order in which it recorded them, as lines of its schema portal-event."""
    events = [
        event
        for number, person in enumerate(city.residents, start=city.first_index)
        for event in _of_person(city, person, number, days)
    ]
    for _, event in sorted(events, key=lambda recorded: recorded[0]):
        yield json.dumps({"account": event}, ensure_ascii=False)


#: The day it was recorded, and the event.
Event = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class SyntheticAccount:
    """A public-money account as the portal keeps it."""

    number: str
    code: str
    holder_kana: str


def _of_person(city: City, person: Resident, number: int, days: int) -> Iterator[Event]:
    """Mostly one account; some have a second, some are in another's name, some change and some are closed."""
    first = later(FIRST_DAY, city.chance.randrange(28))
    known = person.facts_on(first)
    if not known or known["birth_date"] > _ADULT_BORN_UNTIL or person.dead or city.chance.random() > 0.3:
        return
    stranger = city.chance.choice(city.residents).facts()["kana"] if city.chance.random() < 0.02 else None
    account = SyntheticAccount(f"A{number:08d}", person.code, stranger or known["kana"])
    yield _event(city, "REGISTERED", account, first)
    then, day = city.chance.random(), later(first, city.chance.randint(1, max(1, days)))
    account = replace(account, holder_kana=stranger or person.facts_on(day)["kana"])
    if then < 0.05:
        yield _event(city, "REGISTERED", replace(account, number=f"B{number:08d}"), day)
    elif then < 0.15:
        yield _event(city, "CHANGED", account, day)
    elif then < 0.2:
        yield _event(city, "CLOSED", account, day)
    elif then < 0.22:
        yield _event(city, "CLOSED", account, day)
        yield _event(city, "REGISTERED", replace(account, number=f"C{number:08d}"), later(day, 1))


def _event(city: City, event: str, account: SyntheticAccount, day: str) -> Event:
    draw, choice = city.chance.randrange, city.chance.choice
    return later(day, draw(3)), {
        "event": event, "account": account.number, "code": account.code, "holder_kana": account.holder_kana,
        "bank": choice(_BANKS), "branch": f"{draw(1000):03d}", "type": choice(("普通", "当座")),
        "number": f"{draw(10**7):07d}", "effective_on": day,
    }  # fmt: skip
