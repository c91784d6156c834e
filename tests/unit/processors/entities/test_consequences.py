"""What follows by itself: from the person's life, from another entity, from a day in a field, from the residence."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.entities import entity_fold
from processors.entities.causes import Life, PersonCause, ResidencePeriod, age_reached_on
from processors.entities.entity_fold import fold
from processors.entities.timeline import Submission, Timeline
from schemas.declare import (
    PART,
    Amendment,
    ByResidence,
    Cause,
    DeclarationError,
    Entity,
    Expires,
    FinalValue,
    Follows,
    FollowsEntity,
    changes,
    choice,
    closes,
    opens,
    text,
)
from schemas.declare import day as day_field
from tests.unit.processors.entities.cards import day, submission

pytestmark = pytest.mark.unit

PASS = Entity(
    "pass",
    "利用証",
    key=("serial",),
    fields=(
        text("serial", "番号", 8),
        choice("kind", "種別", "named", "plain"),
        choice("state", "状態", "valid", "revoked", "expired"),
        day_field("expires_on", "有効期限").optional(),
        text("card", "カード", 8).optional(),
    ),
    events=(
        opens("PassIssued", "交付", "kind", "expires_on", "card", state="valid"),
        changes("PassConfirmed", "確認"),
        changes("PassRevoked", "失効", state="revoked"),
        changes("PassExpired", "期限切れ", state="expired"),
        closes("PassReturned", "返納"),
    ),
    invariants=(FinalValue("state", "revoked"),),
)
CARD = Entity(
    "ticket",
    "券",
    key=("number_on_it",),
    fields=(text("number_on_it", "番号", 8), choice("state", "状態", "active", "void")),
    events=(opens("TicketIssued", "交付", state="active"), changes("TicketVoided", "失効", state="void")),
)


def with_rules(*rules: Follows | FollowsEntity | Expires | ByResidence) -> Entity:
    """Return the pass with these consequences."""
    return Entity(PASS.id, PASS.japanese, PASS.fields, PASS.events, PASS.key, PASS.invariants, follows=rules)


def issued(on: int, serial: str = "P", *, received: int = 0, **fields: str) -> Submission:
    """Return a pass that was issued on a day."""
    values = {"serial": serial, "kind": "named", **fields}
    template = submission("PassIssued", on, serial, received=received)
    return template._replace(fields=tuple(values.get(name) for name in PASS.field_names))


def states(timeline: Timeline, serial: str = "P") -> list[tuple[int, str | None]]:
    """Return the day (by its number) and the state of each version of a pass."""
    return [((v.begins - day(1)).days + 1, v.values[2]) for v in timeline.versions[(serial,)]]


def lived(*causes: PersonCause) -> Life:
    """Return a life in which this happened."""
    return Life(causes)


def test_a_changed_fact_revokes() -> None:
    """Only a fact that the rule names, and only a pass of the kind that it names, issued before."""
    rule = Follows(
        "PassRevoked", Cause.FACTS_CHANGED, frozenset({"name"}), where={"kind": ("named",)}, stays=True
    )
    renamed = lived(PersonCause(day(5), Cause.FACTS_CHANGED, frozenset({"name", "kana"})))
    moved = lived(PersonCause(day(5), Cause.FACTS_CHANGED, frozenset({"address"})))
    entity = with_rules(rule)
    assert states(fold(entity, [issued(1)], renamed)) == [(1, "valid"), (5, "revoked")]
    assert states(fold(entity, [issued(1)], moved)) == [(1, "valid")]
    assert states(fold(entity, [issued(1, kind="plain")], renamed)) == [(1, "valid")]
    assert states(fold(entity, [issued(5)], renamed)) == [(5, "valid")]


def test_a_consequence_stays_only_if_it_was_one_when_it_was_known() -> None:
    """After the cancellation of a death a pass known before stays revoked; one received later was never revoked."""
    died = lived(PersonCause(day(5), Cause.DIED, cancelled_by="2"))
    for stays, received, expected in (
        (True, "1", [(1, "valid"), (5, "revoked")]),
        (True, "3", [(1, "valid")]),
        (False, "1", [(1, "valid")]),
    ):
        entity = with_rules(Follows("PassRevoked", Cause.DIED, stays=stays))
        pass_ = issued(1)._replace(received=received)
        assert states(fold(entity, [pass_], died)) == expected


def test_a_consequence_after_days_can_be_prevented() -> None:
    """It follows after the days, unless the event happens before, or the person is registered again."""
    renewal = with_rules(Follows("PassRevoked", Cause.REGISTERED, after_days=4, unless="PassConfirmed"))
    arrived = lived(PersonCause(day(3), Cause.REGISTERED))
    confirmed = submission("PassConfirmed", 6, "P")._replace(fields=("P", None, None, None, None))
    assert states(fold(renewal, [issued(1)], arrived))[-1] == (7, "revoked")
    assert states(fold(renewal, [issued(1), confirmed], arrived))[-1] == (6, "valid")
    departure = with_rules(Follows("PassRevoked", Cause.DEPARTED, after_days=4))
    left = PersonCause(day(3), Cause.DEPARTED)
    assert states(fold(departure, [issued(1)], lived(left)))[-1] == (7, "revoked")
    back = lived(left, PersonCause(day(6), Cause.REGISTERED))
    assert states(fold(departure, [issued(1)], back)) == [(1, "valid")]


def test_what_a_municipality_has_of_somebody_who_leaves() -> None:
    """The pass of the municipality that the person leaves ends, whatever the reason, and no other one's."""
    key = (PART, "serial")
    rule = Follows("PassRevoked", Cause.LEFT)
    events = tuple(event.anywhere() for event in PASS.events)
    entity = Entity(PASS.id, PASS.japanese, PASS.fields, events, key, PASS.invariants, follows=(rule,))
    left = lived(PersonCause(day(5), Cause.LEFT, left="131041"))
    passes = [issued(1, serial)._replace(part=part) for part, serial in (("131041", "P"), ("012033", "Q"))]
    timeline = fold(entity, passes, left)
    ends = {key: versions[-1].values[2] for key, versions in timeline.versions.items()}
    assert ends == {("131041", "P"): "revoked", ("012033", "Q"): "valid"}


def test_what_another_entity_ends() -> None:
    """A pass ends when the ticket that it names is void, and no other."""
    entity = with_rules(FollowsEntity("PassRevoked", CARD, "card", "state", ("void",)))
    ticket = fold(
        CARD,
        [
            submission("TicketIssued", 1, "T")._replace(fields=("T", None)),
            submission("TicketVoided", 4, "T")._replace(fields=("T", None)),
        ],
    )
    passes = [issued(2, card="T"), issued(2, "Q", card="U")]
    timeline = fold(entity, passes, others={"ticket": ticket})
    assert states(timeline) == [(2, "valid"), (4, "revoked")]
    assert states(timeline, "Q") == [(2, "valid")]


def test_what_ended_before_it_was_named() -> None:
    """A pass issued on a ticket that is void already, or that names one later, ends at once; another one doesn't."""
    entity = with_rules(FollowsEntity("PassRevoked", CARD, "card", "state", ("void",)))
    tickets = [
        submission(event, on, serial)._replace(fields=(serial, None))
        for event, on, serial in (
            ("TicketIssued", 1, "T"),
            ("TicketVoided", 4, "T"),
            ("TicketIssued", 1, "U"),
        )
    ]
    others = {"ticket": fold(CARD, tickets)}
    timeline = fold(
        entity, [issued(6, card="T"), issued(6, "Q", card="U"), issued(4, "R", card="T")], others=others
    )
    assert states(timeline) == [(6, "revoked")]
    assert states(timeline, "Q") == [(6, "valid")]
    assert states(timeline, "R") == [(4, "revoked")]


def test_a_version_expires_on_the_day_after_its_last() -> None:
    """Also one that is submitted late; a renewed one expires later."""
    entity = with_rules(Expires("PassExpired", "expires_on"))
    assert states(fold(entity, [issued(1, expires_on=str(day(4)))])) == [(1, "valid"), (5, "expired")]
    assert states(fold(entity, [issued(6, expires_on=str(day(4)))])) == [(6, "expired")]


BY_AGE = ByResidence("Insured", "Uninsured", 65, closes_after_days=1, keeps=("elsewhere", "yes"))
INSURANCE = Entity(
    "insurance",
    "保険",
    key=(PART,),
    fields=(choice("elsewhere", "住所地特例", "yes", "no"),),
    events=(
        opens("Insured", "資格取得", elsewhere="no"),
        changes("StaysInsured", "住所地特例の適用", elsewhere="yes"),
        changes("StayEnded", "住所地特例の終了", elsewhere="no"),
        closes("Uninsured", "資格喪失"),
    ),
    follows=(BY_AGE,),
)
BORN = date(1961, 6, 1)
OF_AGE = date(2026, 5, 31)


def insured(timeline: Timeline) -> dict[str, list[tuple[str, bool]]]:
    """Return the days on which each municipality's insurance begins and ends."""
    return {
        key[0]: [(v.begins.isoformat()[5:], v.open) for v in versions]
        for key, versions in timeline.versions.items()
    }


def resident(*periods: tuple[str, str | None]) -> Life:
    """Return the life of somebody who is registered in these municipalities from these days of 2026 on."""
    return Life(
        periods=[
            ResidencePeriod(date.fromisoformat(f"2026-{begins}"), municipality, BORN)
            for begins, municipality in periods
        ]
    )


def test_insured_on_the_day_before_the_birthday() -> None:
    """Somebody born on 1 June 1961 is insured from 31 May 2026 on."""
    assert age_reached_on(BORN, 65) == OF_AGE
    assert insured(fold(INSURANCE, [], resident(("01-01", "A")))) == {"A": [("05-31", True)]}
    assert insured(fold(INSURANCE, [], resident(("07-01", "A")))) == {"A": [("07-01", True)]}


def test_a_leap_day_birthday() -> None:
    """Who is born on 29 February reaches an age on 28 February, in every year."""
    assert age_reached_on(date(1960, 2, 29), 65) == date(2025, 2, 28)
    assert age_reached_on(date(1960, 2, 29), 64) == date(2024, 2, 28)


def test_insurance_ends_the_day_after_leaving_or_at_once_elsewhere() -> None:
    """On a move the new insurer begins when the old one ends; after a death it ends on the day after."""
    moved = resident(("01-01", "A"), ("06-10", "B"))
    assert insured(fold(INSURANCE, [], moved)) == {
        "A": [("05-31", True), ("06-10", False)],
        "B": [("06-10", True)],
    }
    died = resident(("01-01", "A"), ("06-10", None))
    assert insured(fold(INSURANCE, [], died)) == {"A": [("05-31", True), ("06-11", False)]}


def test_an_insurer_that_is_not_the_place_of_residence() -> None:
    """Who moves into an institution elsewhere stays insured where they were, until that ends."""
    stays = Submission(
        "care", "A", "1", "StaysInsured", date(2026, 6, 10), date(2026, 6, 10), "1", None, (None,)
    )
    ends = stays._replace(number="2", event="StayEnded", effective_on=date(2026, 6, 20))
    moved = resident(("01-01", "A"), ("06-11", "B"))
    assert insured(fold(INSURANCE, [stays], moved)) == {"A": [("05-31", True), ("06-10", True)]}
    assert insured(fold(INSURANCE, [stays, ends], moved)) == {
        "A": [("05-31", True), ("06-10", True), ("06-20", False)],
        "B": [("06-20", True)],
    }


def insured_under(
    *amendments: Amendment, born: date, moves: tuple[tuple[str, str | None], ...] = (("01-01", "A"),)
) -> list[str]:
    """Return the days on which somebody's insurance in A begins and ends, by an age of 65 and then these amendments."""
    life = Life(periods=[each._replace(birth_date=born) for each in resident(*moves).periods])
    timeline = fold(replace(INSURANCE, amendments=amendments), [], life)
    return [version.begins.isoformat() for version in timeline.versions.get(("A",), ())]


def from_age(age: int, first_day: date, *, correction: bool = False) -> Amendment:
    """Return an amendment by which the insurance begins at another age."""
    return Amendment(first_day, follows=(replace(BY_AGE, from_age=age),), correction=correction)


def test_another_age_from_a_first_day() -> None:
    """Who was old enough by the rules of before stays so, also after a move; who wasn't needs the age of now."""
    sixty_six = from_age(66, date(2026, 6, 1))
    assert insured_under(sixty_six, born=BORN) == ["2026-05-31"]
    assert insured_under(sixty_six, born=date(1961, 6, 2)) == ["2027-06-01"]
    away_and_back = (("01-01", "A"), ("07-01", None), ("08-01", "A"))
    assert insured_under(sixty_six, born=BORN, moves=away_and_back) == [
        "2026-05-31",
        "2026-07-02",
        "2026-08-01",
    ]


def test_a_lower_age_begins_on_its_first_day() -> None:
    """Who is old enough by the new rule on its first day is insured from that day, not from an earlier one."""
    sixty = from_age(60, date(2026, 4, 1))
    assert insured_under(sixty, born=date(1965, 1, 1)) == ["2026-04-01"]
    assert insured_under(sixty, born=date(1966, 6, 1)) == ["2026-05-31"]


def test_a_correction_reaches_back() -> None:
    """It replaces the rules in force on its first day, since the first day of these."""
    corrected = from_age(60, date(2026, 4, 1), correction=True)
    assert insured_under(corrected, born=date(1965, 1, 1)) == ["2026-01-01"]
    then = (from_age(66, date(2026, 3, 1)), from_age(60, date(2026, 4, 1), correction=True))
    assert insured_under(*then, born=date(1965, 1, 1)) == ["2026-03-01"]


def test_the_rules_of_the_day_of_the_cause() -> None:
    """What follows days after its cause, and what may not be, follow the rules of the day of the cause or event."""
    four_days, one_day = (Follows("PassRevoked", Cause.REGISTERED, after_days=days) for days in (4, 1))
    entity = replace(with_rules(four_days), amendments=(Amendment(day(5), follows=(one_day,)),))
    assert states(fold(entity, [issued(1)], lived(PersonCause(day(4), Cause.REGISTERED))))[-1] == (
        8,
        "revoked",
    )
    assert states(fold(entity, [issued(1)], lived(PersonCause(day(5), Cause.REGISTERED))))[-1] == (
        6,
        "revoked",
    )
    entity = replace(PASS, amendments=(Amendment(day(5), invariants=()),))
    revoked, expired = submission("PassRevoked", 2, "P"), submission("PassExpired", 4, "P")
    events = [each._replace(fields=("P", None, None, None, None)) for each in (revoked, expired)]
    assert states(fold(entity, [issued(1), *events]))[-1] == (2, "revoked")
    late = events[1]._replace(effective_on=day(5))
    assert states(fold(entity, [issued(1), events[0], late]))[-1] == (5, "expired")


def test_amendments_are_in_order() -> None:
    """An amendment that begins before the one listed before it is refused, and so is another event by residence."""
    with pytest.raises(DeclarationError, match="order of their first days"):
        replace(INSURANCE, amendments=(from_age(66, day(5)), from_age(67, day(4))))
    with pytest.raises(DeclarationError, match="changes what opens"):
        replace(INSURANCE, amendments=(Amendment(day(5), follows=()),))


@given(
    st.lists(
        st.tuples(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.sampled_from(["A", "B", None])),
        max_size=6,
        unique_by=lambda period: period[0],
    )
)
def test_one_insurer_per_day(drawn: list[tuple[date, str | None]]) -> None:
    """Whatever the moves, on every day at most one municipality is the insurer, and it is that of the residence."""
    periods = [ResidencePeriod(begins, municipality, BORN) for begins, municipality in sorted(drawn)]
    life = Life(periods=periods)
    timeline = fold(INSURANCE, [], life)
    for ordinal in range(date(2026, 1, 1).toordinal(), date(2027, 1, 5).toordinal()):
        on = date.fromordinal(ordinal)
        in_force = [
            key[0]
            for key, versions in timeline.versions.items()
            if any(v.begins <= on for v in versions) and [v for v in versions if v.begins <= on][-1].open
        ]
        period = life.period_on(on)
        assert len(in_force) <= 1
        if period is not None and period.municipality is not None and on >= OF_AGE:
            assert in_force == [period.municipality]


def test_a_submission_of_the_day_prevents_the_end() -> None:
    """Who enters the institution on the day of the move stays insured; who turns 65 that day is insured before."""
    stays = Submission(
        "care", "A", "1", "StaysInsured", date(2026, 6, 10), date(2026, 6, 10), "1", None, (None,)
    )
    moved = resident(("01-01", "A"), ("06-10", "B"))
    assert insured(fold(INSURANCE, [stays], moved)) == {"A": [("05-31", True), ("06-10", True)]}
    on_the_day = stays._replace(effective_on=OF_AGE)
    assert insured(fold(INSURANCE, [on_the_day], moved)) == {"A": [("05-31", True)]}


def test_a_second_change_on_the_day_after_leaving_changes_nothing() -> None:
    """The insurance ends on the day after the person has left, whatever else becomes known on that day."""
    left = resident(("01-01", "A"), ("06-10", None), ("06-11", None))
    assert insured(fold(INSURANCE, [], left)) == {"A": [("05-31", True), ("06-11", False)]}


@given(
    st.lists(
        st.tuples(
            st.dates(date(2026, 5, 20), date(2026, 6, 20)),
            st.sampled_from(["A", "B", None]),
            st.sampled_from([BORN, date(1990, 1, 1), None]),
        ),
        max_size=6,
        unique_by=lambda period: period[0],
    )
)
def test_a_fold_by_residence_alone_gives_what_the_queue_gives(
    drawn: list[tuple[date, str | None, date | None]],
) -> None:
    """A person about whom nothing was submitted is folded without a queue, with the same timeline."""
    periods = [ResidencePeriod(*each) for each in sorted(drawn, key=lambda each: each[0])]
    life = Life(periods=periods)
    assert fold(INSURANCE, [], life).versions == entity_fold._Fold(INSURANCE, life, {}).run([]).versions
