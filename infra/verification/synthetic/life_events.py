"""What happens to residents, one function a kind. Each gives False where chance found nobody to whom it could."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from infra.verification.synthetic.city import City, OnTheWay, head_of
from infra.verification.synthetic.municipality import CANCELLABLE, Manner, SyntheticRegister, later
from infra.verification.synthetic.names import full, surname
from infra.verification.synthetic.residents import AFTER_ALL, Facts, Resident

_DAYS_ON_THE_WAY = (0, 0, 1, 3, 5, 12)


def moved_within(city: City) -> bool:
    """A household moves in its municipality: mostly all of it, with or without a new number of the household."""
    if not (home := city.home()):
        return False
    register, number, members = home
    some = len(members) > 1 and city.chance.random() < 0.2
    movers = [person for person in members if person is not head_of(members)] if some else members
    change: Facts = {"address": register.new_address()}
    if some or city.chance.random() < 0.6:
        change["household"] = register.new_household()
    whole = None if some or city.chance.random() < 0.15 else number
    city.enter(register, "転居", city.today, {person: dict(change) for person in movers}, Manner(whole))
    return True


def moved_away(city: City) -> bool:
    """Out to another municipality, and in there the same day or some days later (if the files go as far)."""
    if not (home := city.home()):
        return False
    register, number, members = home
    alone = len(members) > 1 and city.chance.random() < 0.2
    movers = [person for person in members if person is not head_of(members)][:1] if alone else members
    if not (to := city.elsewhere(register, movers)):
        return False
    lag = -city.chance.randint(1, 20) if city.chance.random() < 0.2 else None
    leave(city, movers, to, Manner(None if alone else number, lag))
    way = OnTheWay(
        tuple(movers), register.place.code, to, later(city.today, city.chance.choice(_DAYS_ON_THE_WAY))
    )
    if way.until == city.today:
        arrive(city, way)
    else:
        city.on_the_way.append(way)
    return True


def leave(city: City, movers: Sequence[Resident], to: SyntheticRegister, manner: Manner) -> None:
    """A notice of moving out; `manner.household` where all of the household goes."""
    address = to.new_address()
    changes: dict[Resident, Facts] = {person: {"address": address} for person in movers}
    manner = replace(manner, places={"moved_to": to.place.code})
    city.enter(city.register_of(movers[0]), "転出", city.today, changes, manner)


def arrive(city: City, way: OnTheWay) -> None:
    """A notice of moving in: a new household, all facts given anew."""
    household, address = way.to.new_household(), next(iter(way.persons)).carried["address"]
    changes: dict[Resident, Facts] = {
        person: person.carried | {"household": household, "address": address} for person in way.persons
    }
    if not any(facts["relationship"] == "世帯主" for facts in changes.values()):
        changes[way.persons[0]]["relationship"] = "世帯主"
    reason = "転入" if way.origin != "999999" else "国外転入"
    city.enter(way.to, reason, city.today, changes, Manner(places={"moved_from": way.origin}))
    if reason == "転入":
        city.moved += [(person, way.to) for person in way.persons]


def hopped(city: City) -> bool:
    """A to B to C, or back to A, within one day."""
    if not (home := city.home()):
        return False
    register, number, members = home
    via = city.elsewhere(register, members)
    onward = register if city.chance.random() < 0.5 else via and city.elsewhere(via, members)
    if not via or not onward:
        return False
    leave(city, members, via, Manner(number))
    arrive(city, OnTheWay(tuple(members), register.place.code, via, city.today))
    leave(city, members, onward, Manner(members[0].household))
    arrive(city, OnTheWay(tuple(members), via.place.code, onward, city.today))
    return True


def moved_abroad(city: City) -> bool:
    """One resident leaves the country; some come back."""
    if not (home := city.home()):
        return False
    register, _, members = home
    person = members[-1]
    city.enter(register, "国外転出", city.today, {person: {}}, Manner(places={"moved_to": "999999"}))
    city.abroad.append(person)
    if len(members) > 1 and person.carried["relationship"] == "世帯主":
        _succeed(city, register, members[:-1])
    return True


def came_from_abroad(city: City) -> bool:
    """Somebody who left for abroad comes back, to any municipality that can write the name."""
    if not city.abroad:
        return False
    person = city.abroad.pop(city.chance.randrange(len(city.abroad)))
    to = city.elsewhere(city.chance.choice(city.registers), [person])
    if not to:
        return False
    person.carried["address"] = to.new_address()
    arrive(city, OnTheWay((person,), "999999", to, city.today))
    return True


def born(city: City) -> bool:
    """A child, protected from birth where the family is."""
    homes = [home for _ in range(8) if (home := city.home(2))]
    if not homes:
        return False
    protected = [home for home in homes if any(person.protected for person in home[2])]
    register, _, members = city.chance.choice(protected or homes)
    head = head_of(members).facts()
    sex = city.chance.choice("男女")
    family = (head["name"].partition("\u3000")[0], head["kana"].partition("\u3000")[0])
    name, kana = full(family, city.chance, sex)
    child = city.new_resident()
    child.protected = any(person.protected for person in members)
    facts = {"name": name, "kana": kana, "birth_date": city.today, "sex": sex, "relationship": "子"}
    where = {"household": head["household"], "address": head["address"]}
    city.enter(register, "出生", city.today, {child: facts | where})
    return True


def died(city: City) -> bool:
    """A death; where the head dies, another becomes head."""
    if not (home := city.home()):
        return False
    register, _, members = home
    person = city.chance.choice(members)
    left = [other for other in members if other is not person]
    was_head = person is head_of(members)
    person.dead = True
    city.enter(register, "死亡", city.today, {person: {}})
    city.dead.append(person)
    if was_head and left:
        _succeed(city, register, left)
    return True


def _succeed(city: City, register: SyntheticRegister, members: Sequence[Resident]) -> None:
    oldest = min(members, key=lambda person: (person.facts()["birth_date"], person.code))
    changes: dict[Resident, Facts] = {
        person: {"relationship": "世帯主" if person is oldest else "子"} for person in members
    }
    city.enter(register, "世帯主変更", city.today, changes)


def head_changed(city: City) -> bool:
    """Another member becomes head."""
    if not (home := city.home(2)):
        return False
    register, _, members = home
    _succeed(city, register, members)
    return True


def renamed(city: City) -> bool:
    """A new surname; half of them listed late, after later notices of the same person."""
    if not (home := city.home()):
        return False
    register, _, members = home
    person = city.chance.choice(members)
    day = _late_day(city, person)
    family = surname(city.chance, plain=register.old)
    known = person.facts()
    given, given_kana = (known[name].partition("\u3000")[2] for name in ("name", "kana"))
    change = {"name": f"{family[0]}\u3000{given}", "kana": f"{family[1]}\u3000{given_kana}"}
    city.enter(register, "氏名変更", day, {person: change})
    return True


def corrected(city: City) -> bool:
    """The register corrects an address, a date of birth or a sex, half of them late."""
    if not (home := city.home()):
        return False
    register, _, members = home
    person = city.chance.choice(members)
    day = _late_day(city, person)
    known = person.facts((day, AFTER_ALL))
    change = city.chance.choice(
        [
            {"address": f"{known['address']}\u3000{city.chance.randint(101, 999)}号室"},
            {"birth_date": later(known["birth_date"], -city.chance.randint(1, 9))},
            {"address": known["address"], "birth_date": later(known["birth_date"], -1)},
            {"sex": known["sex"], "address": f"{known['address']}\u30001階"},
        ]
    )
    full_change = {**{name: known[name] for name in ("address", "birth_date", "sex")}, **change}
    city.enter(register, "職権修正", day, {person: change if register.json else full_change})
    return True


def _late_day(city: City, person: Resident) -> str:
    """Today, or a day since the person came there."""
    if person.stay is None or city.chance.random() < 0.5:
        return city.today
    return max(person.stay.since, later(city.today, -city.chance.randint(1, 25)))


def renamed_after_leaving(city: City) -> bool:
    """A change of name that a register lists only after the person has left, on a day before."""
    register = city.chance.choice(city.registers)
    if not register.departed:
        return False
    person, stay = city.chance.choice(register.departed)
    day = later(stay.left[0], -1) if stay.left else ""
    if day < stay.since:
        return False
    known = person.facts((day, AFTER_ALL), stay)
    family = surname(city.chance, plain=register.old)
    change = {"name": f"{family[0]}\u3000{known['name'].partition(chr(0x3000))[2]}"}
    change["kana"] = f"{family[1]}\u3000{known['kana'].partition(chr(0x3000))[2]}"
    city.enter(register, "氏名変更", day, {person: change}, Manner(late_stays=(stay,)))
    return True


def split(city: City) -> bool:
    """A member has a household of their own, at the same address."""
    if not (home := city.home(2)):
        return False
    register, _, members = home
    person = next(member for member in reversed(members) if member is not head_of(members))
    change = {"household": register.new_household(), "relationship": "世帯主"}
    city.enter(register, "世帯分離", city.today, {person: change})
    return True


def _two_homes(city: City, size_min: int) -> tuple[SyntheticRegister, str, list[Resident], Facts] | None:
    """A household, and where another one of the same municipality lives."""
    for _ in range(10):
        one, other = city.home(size_min), city.home()
        if one and other and one[0] is other[0] and one[1] != other[1]:
            known = head_of(other[2]).facts()
            return *one, {"household": other[1], "relationship": "同居人", "address": known["address"]}
    return None


def joined(city: City) -> bool:
    """A whole household joins another."""
    if not (homes := _two_homes(city, 1)):
        return False
    register, number, members, change = homes
    whole = number if city.chance.random() < 0.8 else None
    city.enter(register, "世帯合併", city.today, {person: dict(change) for person in members}, Manner(whole))
    return True


def changed_household(city: City) -> bool:
    """One member goes to live with another household."""
    if not (homes := _two_homes(city, 2)):
        return False
    register, _, members, change = homes
    person = next(member for member in reversed(members) if member is not head_of(members))
    city.enter(register, "世帯構成変更", city.today, {person: change})
    return True


def protection_begun(city: City) -> bool:
    """A household's address is withheld from today."""
    return _protect(city, begin=True)


def protection_ended(city: City) -> bool:
    """A household's address is given again from today."""
    return _protect(city, begin=False)


def _protect(city: City, *, begin: bool) -> bool:
    homes = (home for _ in range(200) if (home := city.home()) is not None)
    found = next((home for home in homes if any(person.protected for person in home[2]) is not begin), None)
    if not found:
        return False
    register, number, members = found
    for person in members:
        person.protected = begin
    nothing: dict[Resident, Facts] = {person: {} for person in members}
    city.enter(register, "支援措置開始" if begin else "支援措置終了", city.today, nothing, Manner(number))
    return True


def cancelled(city: City) -> bool:
    """A cancellation of something recent: good, or refused as something later has one of its persons."""
    register = city.chance.choice(city.registers)
    if not register.cancellable:
        return False
    target = city.chance.choice(register.cancellable)
    if target.cancelled or any(person.stay not in target.stays for person in target.changes):
        return False
    good = not register.overtaken(target)
    filed = register.cancel(target, good=good)
    city.note_cancellation(filed, good=good)
    return True


def cancelled_too_late(city: City) -> bool:
    """A cancellation of something that a later notice of one of its persons stands on."""
    register = city.chance.choice(city.registers)
    overtaken = [
        one
        for one in register.cancellable
        if not one.cancelled
        and all(person.stay in one.stays for person in one.changes)
        and register.overtaken(one)
    ]
    if not overtaken:
        return False
    city.note_cancellation(register.cancel(city.chance.choice(overtaken), good=False), good=False)
    return True


def cancelled_wrongly(city: City) -> bool:
    """A cancellation of what can't be cancelled, is cancelled already or was never listed."""
    if not (home := city.home()):
        return False
    register, _, members = home
    filed = members[0].stay.filed if members[0].stay else []
    wrong = [one for one in filed if one.cancelled or one.reason not in ("取消", *CANCELLABLE)]
    here = [one for one in wrong if all(person.stay in one.stays for person in one.changes)]
    if not here:
        return False
    unknown = register.new_notice() if city.chance.random() < 0.3 else ""
    cancellation = register.cancel(city.chance.choice(here), good=False, number=unknown)
    city.note_cancellation(cancellation, good=False)
    return True


#: Each kind with its weight among the days' happenings.
HAPPENINGS: dict[Callable[[City], bool], int] = {
    moved_within: 24, moved_away: 26, hopped: 3, moved_abroad: 3, came_from_abroad: 3, born: 8, died: 6,
    head_changed: 3, renamed: 6, renamed_after_leaving: 1, corrected: 7, split: 5, joined: 8,
    changed_household: 5, protection_begun: 5, protection_ended: 2, cancelled: 8, cancelled_too_late: 2,
    cancelled_wrongly: 2,
}  # fmt: skip
