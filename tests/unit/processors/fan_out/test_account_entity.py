"""The account as a derived entity: a system that isn't `paying` reads it of those whom its reading names."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from infra.verification.reference.ledger import accounts_by_day
from infra.verification.reference.notice import AccountEvent as ReferenceEvent
from processors.fan_out.accounts import account_versions
from processors.fan_out.history import Account, AccountEvent, Facts
from processors.fan_out.person_state import LifePeriod
from tests.attacks.installed_copy import ROOT
from tests.unit.processors.fan_out.residents import A

pytestmark = pytest.mark.unit

#: A system that reads the account of who has a library card, and of who is enrolled; and whose account is known.
SYSTEM = """
from schemas.declare import ACCOUNT, RESIDENT, Enrolled, Entity, HeldBy, Reads, closes, opens, text
from schemas.systems.model import Action, Domain, Rule, Scope, System, rules_of, submission_schema

BASIS = "図書館法"
CARD = Entity(
    "library-card", "利用者カード", (text("card_number", "番号", 12),),
    (opens("LibraryCardIssued", "交付"), closes("LibraryCardReturned", "返納")), key=("card_number",),
)
COLUMNS = ("holder_kana", "bank", "number")
DOMAIN = Domain(
    "library", Scope.NATIONAL, ("name",), rules_of(("name",), {}, ""), BASIS, enrolment=Rule(Action.OPEN),
    reads=(
        Reads("refund", ACCOUNT, COLUMNS, "返金", BASIS, of=HeldBy(CARD)),
        Reads("prize", ACCOUNT, COLUMNS, "賞金", BASIS, of=Enrolled()),
        Reads("payee", RESIDENT, ("name",), "返金", BASIS, of=HeldBy(ACCOUNT)),
    ),
)
SYSTEM = System("library", "図書館", Scope.NATIONAL, submission_schema("library"), DOMAIN, owns=(CARD,))
"""

#: Submits what happens to persons, and prints the rows that the library has after each step.
PROGRAM = """
import json, sys
from tests.unit.processors.intake_output import account, enrolment, event, notice
from tests.unit.processors.two_steps import DomainStores, TwoSteps

steps = TwoSteps(serialized=True)
facts = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
facts |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}

def rows():
    readings = DomainStores(steps.outputs).readings
    found = [
        [key[1], key[2], row["status"], row["effective_on"].isoformat(), row.get("number", row.get("name"))]
        for key, row in readings.items() if key[0] == "library"
    ]
    return sorted(found)

found = []
for step in json.loads(sys.argv[1]):
    kind, *arguments = step
    if kind == "registered":
        steps.submit([notice("131041", "N1", "初期登録", "2026-04-01", {p: facts for p in arguments})])
    elif kind == "account":
        person, day, name, number = arguments
        change = account(person, day, name, "a", "ヤマダ　ハナコ")
        change["account"]["number"] = number
        steps.change([change])
    elif kind == "enrolled":
        steps.change([enrolment("library", None, *arguments)])
    else:
        person, name, day = arguments
        steps.change([event("library", name, person, day, name, card_number="1")])
    found.append(rows())
print(json.dumps(found, ensure_ascii=False))
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder in which a package with the system is installed."""
    (tmp_path / "psm_library").mkdir()
    (tmp_path / "psm_library" / "__init__.py").write_text("", "utf-8")
    (tmp_path / "psm_library" / "declared.py").write_text(SYSTEM, "utf-8")
    information = tmp_path / "psm_library-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: psm_library\nVersion: 1.0\n", "utf-8")
    (information / "entry_points.txt").write_text(
        "[mesh.systems]\nlibrary = psm_library.declared:SYSTEM\n", "utf-8"
    )
    return tmp_path


def rows_after(installed: Path, *steps: tuple[str, ...]) -> list[Any]:
    """Return the rows of the library's readings after each step, in a mesh with this system."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(steps)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])},
    )
    assert process.returncode == 0, process.stderr
    found: list[Any] = json.loads(process.stdout)
    return found


def test_the_account_reaches_those_whom_a_reading_names(installed: Path) -> None:
    """It comes with what covers the reading, changes and closes on its days, and reaches nobody else."""
    _, opened, with_card, enrolled, changed, closed, returned = rows_after(
        installed,
        ("registered", "p", "q"),
        ("account", "p", "2026-05-01", "REGISTERED", "1111111"),
        ("event", "p", "LibraryCardIssued", "2026-05-10"),
        ("enrolled", "p", "2026-05-20"),
        ("account", "p", "2026-06-01", "CHANGED", "2222222"),
        ("account", "p", "2026-06-10", "CLOSED", "2222222"),
        ("event", "p", "LibraryCardReturned", "2026-06-20"),
    )
    payee = ["payee", "p", "active", "2026-05-01", "山田　花子"]
    assert opened == [payee]
    assert with_card == [payee, ["refund", "p", "active", "2026-05-10", "1111111"]]
    assert enrolled == [payee, ["prize", "p", "active", "2026-05-20", "1111111"], with_card[1]]
    assert changed == [
        payee,
        ["prize", "p", "active", "2026-06-01", "2222222"],
        ["refund", "p", "active", "2026-06-01", "2222222"],
    ]
    assert (
        closed
        == returned
        == [
            [table, "p", "closed", "2026-06-10", value]
            for table, value in (("payee", "山田　花子"), ("prize", "2222222"), ("refund", "2222222"))
        ]
    )


def test_an_account_in_another_name_reaches_nobody(installed: Path) -> None:
    """Only the account in force does; a name that comes to be known makes it so."""
    *_, before, after = rows_after(
        installed,
        ("account", "p", "2026-05-01", "REGISTERED", "1111111"),
        ("event", "p", "LibraryCardIssued", "2026-05-10"),
        ("registered", "p"),
    )
    assert before == []
    assert after == [
        ["payee", "p", "active", "2026-05-01", "山田　花子"],
        ["refund", "p", "active", "2026-05-10", "1111111"],
    ]


def test_the_reference_model_agrees_with_the_versions() -> None:
    """Whatever happens to accounts, before and after the person is known, and has another name."""
    first, married, chance = "ヤマダ　ハナコ", "スズキ　ハナコ", random.Random(7)  # noqa: S311 - repeatable
    known = [("2026-03-03", first), ("2026-03-05", married)]
    life = [LifePeriod(date.fromisoformat(day), A, Facts(kana=kana), False, False) for day, kana in known]
    found = 0
    for _ in range(400):
        events = [
            (
                f"2026-03-{chance.randint(1, 9):02d}",
                chance.choice(["REGISTERED", "CHANGED", "CLOSED"]),
                chance.choice(["one", "one", "two"]),
                chance.choice([first, married, married]),
                chance.choice(["1111111", "2222222"]),
            )
            for _ in range(chance.randint(1, 6))
        ]
        versions = account_versions(
            [
                AccountEvent(date.fromisoformat(day), Account(kind, id_, kana, "0001", "001", "普通", number))
                for day, kind, id_, kana, number in set(events)
            ],
            life,
        )
        expected = accounts_by_day(
            [
                ReferenceEvent("p", kind, id_, day, kana, "0001", "001", "普通", number)
                for day, kind, id_, kana, number in events
            ],
            dict(known),
        )
        assert [(v.begins.isoformat(), v.open, v.values) for v in versions] == [
            (day, is_open, tuple(values.values())) for day, is_open, values in expected
        ]
        found += len(versions)
    assert found > 100
