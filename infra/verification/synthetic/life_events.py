"""Life events of residents, one function per kind.

Each function makes the event happen to random residents, records its notices and returns True; it returns False if the
random draws find no person to whom it can happen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from infra.verification.synthetic.city import City, PendingMove, head_of
from infra.verification.synthetic.municipality import (
    CANCELLABLE,
    RecordingOptions,
    SyntheticRegister,
    add_days,
)
from infra.verification.synthetic.names import full_name, pick_surname
from infra.verification.synthetic.residents import SEQUENCE_MAX, Facts, RecordedNotice, Resident

#: Days between move out and move in, drawn at random.
_MOVING_DAYS = (0, 0, 1, 3, 5, 12)


def move_within(city: City) -> bool:
    """Move a household, or all but its head, within the municipality, with or without a new household number."""
    if not (household := city.pick_household()):
        return False
    register, number, members = household
    without_head = len(members) > 1 and city.rng.random() < 0.2
    movers = [person for person in members if person is not head_of(members)] if without_head else members
    change: Facts = {"address": register.new_address()}
    if without_head or city.rng.random() < 0.6:
        change["household"] = register.new_household()
    by_household = None if without_head or city.rng.random() < 0.15 else number
    city.record_notice(
        register,
        "転居",
        city.today,
        {person: dict(change) for person in movers},
        RecordingOptions(by_household),
    )
    return True


def move_away(city: City) -> bool:
    """Move a household or one member to another municipality, arriving the same day or some days later.

    A move in after the last day of the files is never recorded.
    """
    if not (household := city.pick_household()):
        return False
    register, number, members = household
    alone = len(members) > 1 and city.rng.random() < 0.2
    movers = [person for person in members if person is not head_of(members)][:1] if alone else members
    if not (to := city.pick_other_register(register, movers)):
        return False
    lag = -city.rng.randint(1, 20) if city.rng.random() < 0.2 else None
    move_out(city, movers, to, RecordingOptions(None if alone else number, lag))
    move = PendingMove(
        tuple(movers), register.municipality.code, to, add_days(city.today, city.rng.choice(_MOVING_DAYS))
    )
    if move.arrives_on == city.today:
        move_in(city, move)
    else:
        city.pending_moves.append(move)
    return True


def move_out(
    city: City, movers: Sequence[Resident], to: SyntheticRegister, options: RecordingOptions
) -> None:
    """Record a move out. `options.household` is set if all members of the household move."""
    address = to.new_address()
    changes: dict[Resident, Facts] = {person: {"address": address} for person in movers}
    options = replace(options, relocation={"moved_to": to.municipality.code})
    city.record_notice(city.register_of(movers[0]), "転出", city.today, changes, options)


def move_in(city: City, move: PendingMove) -> None:
    """Record a move in, from a municipality or from abroad: a new household, with all facts of each person."""
    household, address = move.to.new_household(), next(iter(move.persons)).facts_when_leaving["address"]
    changes: dict[Resident, Facts] = {
        person: person.facts_when_leaving | {"household": household, "address": address}
        for person in move.persons
    }
    if not any(facts["relationship"] == "世帯主" for facts in changes.values()):
        changes[move.persons[0]]["relationship"] = "世帯主"
    reason = "転入" if move.moved_from != "999999" else "国外転入"
    city.record_notice(
        move.to, reason, city.today, changes, RecordingOptions(relocation={"moved_from": move.moved_from})
    )
    if reason == "転入":
        city.moved_in += [(person, move.to) for person in move.persons]


def move_twice(city: City) -> bool:
    """Move a household from A to B and on to C, or back to A, within one day."""
    if not (household := city.pick_household()):
        return False
    register, number, members = household
    first = city.pick_other_register(register, members)
    second = register if city.rng.random() < 0.5 else first and city.pick_other_register(first, members)
    if not first or not second:
        return False
    move_out(city, members, first, RecordingOptions(number))
    move_in(city, PendingMove(tuple(members), register.municipality.code, first, city.today))
    move_out(city, members, second, RecordingOptions(members[0].household))
    move_in(city, PendingMove(tuple(members), first.municipality.code, second, city.today))
    return True


def move_abroad(city: City) -> bool:
    """Move one member of a household abroad."""
    if not (household := city.pick_household()):
        return False
    register, _, members = household
    person = members[-1]
    city.record_notice(
        register, "国外転出", city.today, {person: {}}, RecordingOptions(relocation={"moved_to": "999999"})
    )
    city.abroad.append(person)
    if len(members) > 1 and person.facts_when_leaving["relationship"] == "世帯主":
        _make_oldest_head(city, register, members[:-1])
    return True


def return_from_abroad(city: City) -> bool:
    """Move a person from abroad into a municipality whose encoding can represent the name."""
    if not city.abroad:
        return False
    person = city.abroad.pop(city.rng.randrange(len(city.abroad)))
    to = city.pick_other_register(city.rng.choice(city.registers), [person])
    if not to:
        return False
    person.facts_when_leaving["address"] = to.new_address()
    move_in(city, PendingMove((person,), "999999", to, city.today))
    return True


def register_birth(city: City) -> bool:
    """Register a birth. The child is protected if a member of the household is; such households are preferred."""
    households = [household for _ in range(8) if (household := city.pick_household(2))]
    if not households:
        return False
    protected = [household for household in households if any(person.protected for person in household[2])]
    register, _, members = city.rng.choice(protected or households)
    head = head_of(members).facts()
    sex = city.rng.choice("男女")
    family = (head["name"].partition("\u3000")[0], head["kana"].partition("\u3000")[0])
    name, kana = full_name(family, city.rng, sex)
    child = city.new_resident()
    child.protected = any(person.protected for person in members)
    facts = {"name": name, "kana": kana, "birth_date": city.today, "sex": sex, "relationship": "子"}
    residence = {"household": head["household"], "address": head["address"]}
    city.record_notice(register, "出生", city.today, {child: facts | residence})
    return True


def register_death(city: City) -> bool:
    """Register a death. If the head dies, another member becomes head."""
    if not (household := city.pick_household()):
        return False
    register, _, members = household
    person = city.rng.choice(members)
    survivors = [other for other in members if other is not person]
    was_head = person is head_of(members)
    person.dead = True
    city.record_notice(register, "死亡", city.today, {person: {}})
    city.dead.append(person)
    if was_head and survivors:
        _make_oldest_head(city, register, survivors)
    return True


def _make_oldest_head(city: City, register: SyntheticRegister, members: Sequence[Resident]) -> None:
    oldest = min(members, key=lambda person: (person.facts()["birth_date"], person.code))
    changes: dict[Resident, Facts] = {
        person: {"relationship": "世帯主" if person is oldest else "子"} for person in members
    }
    city.record_notice(register, "世帯主変更", city.today, changes)


def change_head(city: City) -> bool:
    """Make the oldest member of a household its head."""
    if not (household := city.pick_household(2)):
        return False
    register, _, members = household
    _make_oldest_head(city, register, members)
    return True


def rename(city: City) -> bool:
    """Change a surname. Half of these notices are recorded late, after later notices of the same person."""
    if not (household := city.pick_household()):
        return False
    register, _, members = household
    person = city.rng.choice(members)
    day = _late_day(city, person)
    family = pick_surname(city.rng, plain=register.cp932)
    known = person.facts()
    given, given_kana = (known[name].partition("\u3000")[2] for name in ("name", "kana"))
    change = {"name": f"{family[0]}\u3000{given}", "kana": f"{family[1]}\u3000{given_kana}"}
    city.record_notice(register, "氏名変更", day, {person: change})
    return True


def correct(city: City) -> bool:
    """Correct an address, a date of birth or a sex. Half of these notices are recorded late."""
    if not (household := city.pick_household()):
        return False
    register, _, members = household
    person = city.rng.choice(members)
    day = _late_day(city, person)
    known = person.facts((day, SEQUENCE_MAX))
    change = city.rng.choice(
        [
            {"address": f"{known['address']}\u3000{city.rng.randint(101, 999)}号室"},
            {"birth_date": add_days(known["birth_date"], -city.rng.randint(1, 9))},
            {"address": known["address"], "birth_date": add_days(known["birth_date"], -1)},
            {"sex": known["sex"], "address": f"{known['address']}\u30001階"},
        ]
    )
    all_correctable = {**{name: known[name] for name in ("address", "birth_date", "sex")}, **change}
    city.record_notice(register, "職権修正", day, {person: change if register.json else all_correctable})
    return True


def _late_day(city: City, person: Resident) -> str:
    """Return today or, for half of the calls, an earlier day within the person's present stay."""
    if person.stay is None or city.rng.random() < 0.5:
        return city.today
    return max(person.stay.since, add_days(city.today, -city.rng.randint(1, 25)))


def rename_after_leaving(city: City) -> bool:
    """Change a surname as of the day before the person left, recorded only after the person has left."""
    register = city.rng.choice(city.registers)
    if not register.departed:
        return False
    person, stay = city.rng.choice(register.departed)
    day = add_days(stay.left[0], -1) if stay.left else ""
    if day < stay.since:
        return False
    known = person.facts((day, SEQUENCE_MAX), stay)
    family = pick_surname(city.rng, plain=register.cp932)
    change = {"name": f"{family[0]}\u3000{known['name'].partition(chr(0x3000))[2]}"}
    change["kana"] = f"{family[1]}\u3000{known['kana'].partition(chr(0x3000))[2]}"
    city.record_notice(register, "氏名変更", day, {person: change}, RecordingOptions(late_stays=(stay,)))
    return True


def split_household(city: City) -> bool:
    """Split a member off into a new household at the same address."""
    if not (household := city.pick_household(2)):
        return False
    register, _, members = household
    person = next(member for member in reversed(members) if member is not head_of(members))
    change = {"household": register.new_household(), "relationship": "世帯主"}
    city.record_notice(register, "世帯分離", city.today, {person: change})
    return True


def _pick_two_households(
    city: City, size_min: int
) -> tuple[SyntheticRegister, str, list[Resident], Facts] | None:
    """Return the register, number and members of a household, and the facts with which they join another one there."""
    for _ in range(10):
        joining, other = city.pick_household(size_min), city.pick_household()
        if joining and other and joining[0] is other[0] and joining[1] != other[1]:
            known = head_of(other[2]).facts()
            return *joining, {"household": other[1], "relationship": "同居人", "address": known["address"]}
    return None


def join_households(city: City) -> bool:
    """Move all members of a household into another household."""
    if not (households := _pick_two_households(city, 1)):
        return False
    register, number, members, change = households
    by_household = number if city.rng.random() < 0.8 else None
    city.record_notice(
        register,
        "世帯合併",
        city.today,
        {person: dict(change) for person in members},
        RecordingOptions(by_household),
    )
    return True


def change_household(city: City) -> bool:
    """Move one member into another household."""
    if not (households := _pick_two_households(city, 2)):
        return False
    register, _, members, change = households
    person = next(member for member in reversed(members) if member is not head_of(members))
    city.record_notice(register, "世帯構成変更", city.today, {person: change})
    return True


def begin_protection(city: City) -> bool:
    """Begin the protection of a household's address."""
    return _protect(city, begin=True)


def end_protection(city: City) -> bool:
    """End the protection of a household's address."""
    return _protect(city, begin=False)


def _protect(city: City, *, begin: bool) -> bool:
    picked = (household for _ in range(200) if (household := city.pick_household()) is not None)
    household = next(
        (one for one in picked if any(person.protected for person in one[2]) is not begin),
        None,
    )
    if not household:
        return False
    register, number, members = household
    for person in members:
        person.protected = begin
    reason = "支援措置開始" if begin else "支援措置終了"
    no_changes: dict[Resident, Facts] = {person: {} for person in members}
    city.record_notice(register, reason, city.today, no_changes, RecordingOptions(number))
    return True


def _present(notice: RecordedNotice) -> bool:
    """Return whether all persons of the notice are still in the stay in which it was recorded."""
    return all(person.stay in notice.stays for person in notice.changes)


def cancel_recent(city: City) -> bool:
    """Cancel a recent notice. The cancellation is rejected if one of its persons has a later notice."""
    register = city.rng.choice(city.registers)
    if not register.cancellable:
        return False
    target = city.rng.choice(register.cancellable)
    if target.cancelled or not _present(target):
        return False
    valid = not register.is_overtaken(target)
    cancellation = register.cancel(target, valid=valid)
    city.count_cancellation(cancellation, valid=valid)
    return True


def cancel_too_late(city: City) -> bool:
    """Cancel a notice although one of its persons has a later notice; the cancellation is rejected."""
    register = city.rng.choice(city.registers)
    overtaken = [
        notice
        for notice in register.cancellable
        if not notice.cancelled and _present(notice) and register.is_overtaken(notice)
    ]
    if not overtaken:
        return False
    city.count_cancellation(register.cancel(city.rng.choice(overtaken), valid=False), valid=False)
    return True


def cancel_invalid(city: City) -> bool:
    """Cancel a notice that can't be cancelled or already is, or a number that doesn't exist; it is rejected."""
    if not (household := city.pick_household()):
        return False
    register, _, members = household
    notices = members[0].stay.notices if members[0].stay else []
    targets = [
        notice
        for notice in notices
        if (notice.cancelled or notice.reason not in ("取消", *CANCELLABLE)) and _present(notice)
    ]
    if not targets:
        return False
    unknown = register.new_notice() if city.rng.random() < 0.3 else ""
    cancellation = register.cancel(city.rng.choice(targets), valid=False, number=unknown)
    city.count_cancellation(cancellation, valid=False)
    return True


#: Kind of event -> its weight in the random choice. Draws depend on the order.
LIFE_EVENTS: dict[Callable[[City], bool], int] = {
    move_within: 24, move_away: 26, move_twice: 3, move_abroad: 3, return_from_abroad: 3, register_birth: 8,
    register_death: 6, change_head: 3, rename: 6, rename_after_leaving: 1, correct: 7, split_household: 5,
    join_households: 8, change_household: 5, begin_protection: 5, end_protection: 2, cancel_recent: 8,
    cancel_too_late: 2, cancel_invalid: 2,
}  # fmt: skip
