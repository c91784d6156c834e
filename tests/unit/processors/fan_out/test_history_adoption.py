"""Histories of persons' rows by other declarations than before, and in a state from before there were any."""

from __future__ import annotations

import pytest

from schemas.declaration_digests import RULES, history_of_rows
from tests.unit.processors.fan_out.test_adoption import adopt, pretend_adopted
from tests.unit.processors.intake_output import enrolment, notice
from tests.unit.processors.two_steps import DomainStores, Row, TwoSteps

pytestmark = pytest.mark.unit

FACTS = {"name": "山田　花子", "kana": "ヤマダ　ハナコ", "birth_date": "1990-01-01", "sex": "女"}
FACTS |= {"relationship": "世帯主", "household": "1", "address": "一丁目"}
#: A resident who is enrolled in nta, moves within the city, and takes back that another name was registered.
NOTICES = (
    notice("131041", "13104-1", "初期登録", "2026-04-01", {"p0": FACTS}),
    notice("131041", "13104-2", "転居", "2026-05-01", {"p0": {"address": "二丁目"}}),
    notice("131041", "13104-3", "氏名変更", "2026-06-01", {"p0": {"name": "別名　花子"}}),
)
CANCELLED = notice("131041", "13104-4", "取消", "2026-06-02", cancels="13104-3")


def with_resident() -> TwoSteps:
    """Return the mesh after `NOTICES`."""
    steps = TwoSteps(serialized=True)
    steps.submit([NOTICES[0]])
    steps.change([enrolment("nta", None, "p0", "2026-04-02")])
    for each in NOTICES[1:]:
        steps.submit([each])
    return steps


def forget_days(steps: TwoSteps) -> None:
    """Change the state to that before histories: of nobody it has since when anything is known."""
    store = steps.fan_out_state["persons"]
    for key, value in list(store.values.items()):
        enrolments = [{**each, "known_on": None} for each in value["enrolments"]]
        store.put(key, {**value, "known_until": None, "enrolments": enrolments})


def rows_of_histories(outputs: dict[str, list[Row]]) -> dict[tuple[object, ...], tuple[str, object, object]]:
    """Return operation, status and facts of each row of a history that was published by itself."""
    return {
        (topic, row["effective_on"], row["known_from"]): (row["op"], row["status"], row["facts"])
        for topic, rows in outputs.items()
        if topic.startswith("change.")
        for row in rows
        if row["entity"] == "PERSON_HISTORY"
    }


def histories(steps: TwoSteps) -> dict[tuple[object, ...], tuple[str, object, object]]:
    """Return what the stores have of all histories, in the same form."""
    return {
        (f"change.{domain}", effective_on, known_from): ("UPSERT", row["status"], row["facts"])
        for (domain, _, _, effective_on, known_from), row in DomainStores(steps.outputs).histories.items()
    }


def test_a_state_from_before_gets_its_histories_when_declarations_are_adopted() -> None:
    """All rows of everybody, once. A person who isn't in such a state gets nothing."""
    steps = with_resident()
    expected = histories(steps)
    assert len(expected) == 6
    assert rows_of_histories(adopt(steps, 1)) == {}
    forget_days(steps)
    steps.fan_out_state["adoption"].values.clear()
    assert rows_of_histories(adopt(steps, 2)) == expected
    assert rows_of_histories(adopt(steps, 3)) == {}


def test_a_state_from_before_gets_them_with_the_next_notice_too() -> None:
    """Together with what the notice changes: here nothing begins on the day of a name that was known since today."""
    steps = with_resident()
    expected = histories(steps)
    forget_days(steps)
    published = rows_of_histories(steps.submit([CANCELLED]))
    assert {key for key, row in expected.items() if published.get(key) == row}
    assert {op for op, *_ in published.values()} == {"UPSERT", "DELETE"}
    assert published.keys() == expected.keys()
    assert rows_of_histories(adopt(steps, 1)) == {}


def test_other_rules_of_a_domain_replace_its_histories() -> None:
    """What may have been known by the rules of before is deleted; other domains aren't concerned."""
    steps = with_resident()
    of_nta = {key: row for key, row in histories(steps).items() if key[0] == "change.nta"}
    pretend_adopted(steps, 1, **{history_of_rows("nta"): "an earlier one"})
    published = rows_of_histories(adopt(steps, 2))
    assert {key: row for key, row in published.items() if row[0] == "UPSERT"} == of_nta
    assert {key[0] for key in published} == {"change.nta"}


def test_rules_of_other_domains_change_no_history() -> None:
    """As when a system is added."""
    steps = with_resident()
    pretend_adopted(steps, 1, **{RULES: "without the new system"})
    assert adopt(steps, 2) == {}
