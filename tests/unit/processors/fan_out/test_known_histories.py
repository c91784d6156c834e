"""A submission that is received after all others extends the histories: it gives what folding every day gives."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

import pytest

from processors.fan_out import known_histories
from processors.fan_out.known_histories import Added, EntityKnowledge, HistoryRows
from tests.unit.processors.intake_output import day_begun, event, notice
from tests.unit.processors.two_steps import Row, TwoSteps

pytestmark = pytest.mark.unit

FIRST = date(2026, 9, 1)
PERSON = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1961-09-05", "sex": "女"}
PERSON |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
CARD_EVENTS = ("CardIssued", "CardLost", "CardFound", "CardTextOutdated", "CardTextWritten", "CardReturned")
CERTIFICATE_EVENTS = ("CertificateIssued", "CertificateSuspended", "CertificateResumed", "CertificateRevoked")


def day(number: int) -> str:
    """Return a day by its number, from 0."""
    return (FIRST + timedelta(days=number)).isoformat()


def random_event(rng: Random, number: int, received: int) -> Row:
    """Return an event about a card or certificate of person `p`, or a cancellation, received on a day."""
    effective = day(rng.randint(-2, received + 6))
    others: dict[str, Any] = {"received_on": day(received)}
    if number > 1 and rng.random() < 0.15:
        return event(
            "card",
            "Cancelled",
            "p",
            effective,
            str(number),
            cancels=str(rng.randint(1, number - 1)),
            **others,
        )
    if rng.random() < 0.3:
        name = rng.choice(CERTIFICATE_EVENTS)
        fields = {"certificate_serial": "C1"}
        if name == "CertificateIssued":
            fields |= {"usage": "signature", "valid_until": day(rng.randint(3, 15)), "on_card": "S1"}
        return event("jpki", name, "p", effective, str(number), **fields, **others)
    name = rng.choice(CARD_EVENTS)
    fields = {"serial": rng.choice(["S1", "S2"])}
    if name == "CardIssued":
        fields |= {"kind": "standard", "expires_on": day(rng.randint(3, 15))}
    return event("card", name, "p", effective, str(number), **fields, **others)


def random_batches(rng: Random) -> list[list[Row]]:
    """Return batches of events, most of which are received later than those before, with days that begin between."""
    received, batches = 0, list[list[Row]]()
    for number in range(1, rng.randint(4, 14)):
        received += rng.choice([0, 1, 1, 3])
        late = rng.randint(0, received) if rng.random() < 0.15 else received
        batches.append([random_event(rng, number, late)])
        if rng.random() < 0.3:
            batches.append([day_begun(day(received + rng.randint(0, 2)))])
    return batches


def processed(batches: list[list[Row]]) -> TwoSteps:
    """Return the steps after a first registration and these batches."""
    steps = TwoSteps(serialized=True)
    steps.submit([notice("131041", "13104-1", "初期登録", "2026-08-20", {"p": PERSON})])
    for rows in batches:
        steps.change(rows)
    return steps


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_an_extension_gives_what_all_folds_give(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs and state are equal, whether or not the days of before are folded again."""
    extended, extensions = known_histories._extended, list[bool]()

    def counted(of_entity: EntityKnowledge, added: Added) -> HistoryRows | None:
        rows = extended(of_entity, added)
        extensions.append(rows is not None)
        return rows

    for seed in range(first, first + 20):
        batches = random_batches(Random(seed))  # noqa: S311 (nothing secret)
        monkeypatch.setattr(known_histories, "_extended", counted)
        found = processed(batches)
        monkeypatch.setattr(known_histories, "_extended", lambda *_: None)
        expected = processed(batches)
        assert found.outputs == expected.outputs, seed
        for name, store in found.fan_out_state.items():
            assert store.values == expected.fan_out_state[name].values, (seed, name)
    assert sum(extensions) > len(extensions) / 2
