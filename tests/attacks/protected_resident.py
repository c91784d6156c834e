"""A resident with a protection measure, as the registers of two municipalities submit it, through the real steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from schemas.systems import DOMAINS, SYSTEMS
from schemas.topics import disclosure_topic, domain_topic
from streams.step import Step
from streams.testing.driver import TopologyTestDriver
from tests.simulation.mesh import steps
from tests.unit.processors.submissions import RECEIVED_MS, json_notice, json_person
from tests.unit.processors.submissions import enrolment as enrolment_of

HERE, THERE = "131041", "011002"
PERSON = "42990000011"
BEFORE_CONVERSION = ("intake", "household", "fan-out")
#: Domains of the resident: one of each municipality and some national ones.
DOMAIN_IDS = tuple(domain.id for domain in DOMAINS.values() if domain.has_persons)


class Submitted(NamedTuple):
    """A submission: its topic, schema and content."""

    topic: str
    schema: str
    row: dict[str, Any]
    received_ms: int = 0


def notice(municipality: str, number: str, reason: str, day: str, **others: Any) -> Submitted:
    """Return a notice about PERSON; `address` is the one that it gives."""
    address = others.pop("address", None)
    given: dict[str, Any] = {"code": PERSON}
    if reason in ("初期登録", "転入"):
        given = json_person(code=PERSON, address=address)
    elif address is not None:
        given["address"] = address
    if name := others.pop("name", None):
        given |= {"name": name, "kana": "ベツメイ　イチロウ"}
    row = {
        "notice": f"{municipality[:5]}-{number}",
        "municipality": municipality,
        "reason": reason,
        "persons": [given],
    }
    row |= {"effective_on": day, "recorded_on": day, **others}
    return Submitted(f"in.juki.{municipality}", "juki-notice", json_notice(**row))


def enrolment(domain: str, day: str) -> Submitted:
    """Return the enrolment of PERSON in a national domain."""
    fields = enrolment_of(domain, "", PERSON, day)
    schema = SYSTEMS[domain].publishes or ""
    return Submitted(f"in.{domain}", schema, {"file": "e.csv", "line": 2, **fields})


#: Registered at A, protected, moved to another municipality and within it. In the order of arrival.
PROTECTED = (
    notice(HERE, "1", "初期登録", "2026-02-01", address="住所A"),
    enrolment("pension", "2026-02-02"),
    notice(HERE, "2", "支援措置開始", "2026-02-10"),
    notice(HERE, "3", "転出", "2026-02-20", moved_to=THERE),
    notice(THERE, "4", "転入", "2026-02-20", moved_from=HERE, address="秘密B"),
    notice(THERE, "5", "転居", "2026-02-25", address="秘密C"),
)
#: The same, and the measure ends: the last address is given again.
ENDED = (*PROTECTED, notice(THERE, "6", "支援措置終了", "2026-02-28"))
#: The same, but the move that arrives during the measure took effect before it.
BACK_DATED = (
    notice(HERE, "1", "初期登録", "2026-02-01", address="住所A"),
    enrolment("pension", "2026-02-02"),
    notice(HERE, "2", "支援措置開始", "2026-02-20"),
    notice(HERE, "3", "転出", "2026-02-08", moved_to=THERE),
    notice(THERE, "4", "転入", "2026-02-08", moved_from=HERE, address="秘密B"),
    notice(THERE, "5", "転居", "2026-02-25", address="秘密C"),
)
#: A domain learns of the person only after the end, and in a replay while an address of the measure is the latest.
ENROLLED_LATE = (*ENDED, enrolment("nta", "2026-02-26"), enrolment("card", "2026-03-05"))


def received(submissions: Sequence[Submitted]) -> list[Submitted]:
    """Return submissions with their times of receipt: a second after each other."""
    return [each._replace(received_ms=RECEIVED_MS + 1_000 * n) for n, each in enumerate(submissions)]


def new_driver(seed: int | None = None, steps_of_mesh: Sequence[Step] | None = None) -> TopologyTestDriver:
    """Return a driver of all steps, or of others with the same names."""
    driver = TopologyTestDriver(steps_of_mesh or steps(DOMAIN_IDS), seed=seed)
    driver.add_schemas({domain_topic(domain): DOMAINS[domain].event for domain in DOMAIN_IDS})
    driver.add_schemas({disclosure_topic(domain): "disclosure" for domain in DOMAIN_IDS})
    return driver


def submit(driver: TopologyTestDriver, *submissions: Submitted) -> None:
    """Append submissions to their input topics."""
    for topic, schema, row, received_ms in submissions:
        driver.pipe_input(topic, schema, [row], timestamp_ms=received_ms)


def shown(driver: TopologyTestDriver) -> set[tuple[str, str]]:
    """Return every address that was ever published, by domain."""
    return {
        (domain, record["person"]["address"])
        for domain in DOMAIN_IDS
        for record in driver.rows(domain_topic(domain))
        if record["person"] and record["person"]["address"] is not None
    }


def stored(driver: TopologyTestDriver) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Return what the stores hold of the person: for each row, the newest revision without its number."""
    newest: dict[tuple[str, str | None], tuple[int, dict[str, Any]]] = {}
    for domain in DOMAIN_IDS:
        for record in driver.rows(domain_topic(domain)):
            key = (domain, record.get("municipality"))
            if record["entity"] == "PERSON" and record["revision"] > newest.get(key, (0, {}))[0]:
                row = {"effective_on": record["effective_on"], **(record["person"] or {})}
                newest[key] = record["revision"], row
    return {key: row for key, (_, row) in newest.items()}
