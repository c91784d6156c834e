"""Every user tries every topic: it reads and writes what is its own, and is denied all else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.monitoring.waiting import wait_idle
from schemas.systems import DOMAINS
from tests.integration.separation.city import IDLE_TIMEOUT_S, TIMEOUT_S, IsolatedCity, as_lines, produce
from tests.integration.separation.observed import messages

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DENIED = "TOPIC_AUTHORIZATION_FAILED"
#: Who only writes may be in no group of readers, and hears that first.
NO_GROUP = "GROUP_AUTHORIZATION_FAILED"
MESH = (
    *("in.", "notice", "person.", "case.", "change.", "domain.", "disclosure.", "receipt"),
    *("state.", "dlq.", "command.", "conflict", "rejected."),
)
STEPS = ("intake", "household", "fan-out", "conversion", "tracker", *(f"sink.{domain}" for domain in DOMAINS))


def all_topics(city: IsolatedCity) -> set[str]:
    """Every topic there is, but Kafka's own and the registry's."""
    found = AdminClient({**city.environment.kafka("admin")}).list_topics(timeout=TIMEOUT_S).topics
    return {name for name in found if name.startswith(MESH) and not name.startswith("_")}


def readable(city: IsolatedCity, user: str, topics: set[str]) -> set[str]:
    """Those of the topics that the user gets a record, or the end, of.

    The others it doesn't even see, which the right to read would let it; what it sees, it tries.
    """
    client = AdminClient({**city.environment.kafka(user), "log_level": 0})
    visible = client.list_topics(timeout=TIMEOUT_S).topics.keys() & topics
    answers = {topic: answer(city, user, topic) for topic in visible}
    assert set(answers.values()) <= {"read", DENIED, NO_GROUP}
    return {topic for topic, told in answers.items() if told == "read"}


def answer(city: IsolatedCity, user: str, topic: str) -> str:
    """What a user is told who reads a topic."""
    properties = {**city.environment.kafka(user), "group.id": f"{user}.tries", "enable.partition.eof": True}
    consumer = Consumer({**properties, "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = consumer.consume(1, TIMEOUT_S)
        assert found, "the broker doesn't answer"
        error = found[0].error()
        return "read" if error is None or error.code() == KafkaError._PARTITION_EOF else error.name()
    finally:
        consumer.close()


def writable(city: IsolatedCity, user: str, topics: set[str]) -> set[str]:
    """Those of the topics that take a record of the user; it is denied each of the others."""
    told: dict[str, str] = {}

    def delivered(error: KafkaError | None, message: object) -> None:
        topic = str(message.topic())  # type: ignore[attr-defined]
        told[topic] = error.name() if error else "written"

    producer = Producer({**city.environment.kafka(user), "log_level": 0, "message.timeout.ms": 20_000})
    for topic in topics:
        producer.produce(topic, b"x", on_delivery=delivered)
    assert producer.flush(TIMEOUT_S) == 0
    assert set(told.values()) <= {"written", DENIED}
    return {topic for topic, answer in told.items() if answer == "written"}


def sources(city: IsolatedCity) -> list[str]:
    """A user of each system that hands over."""
    place = city.places[0]
    return [
        *(f"{name}.{place}" for name in ("juki", "juki-cs", "child", "care")),
        "pension",
        "nta",
        "card",
        "portal",
    ]


def test_a_source_writes_its_own_topic_only(city: IsolatedCity) -> None:
    """Not another municipality's, not what steps write, and it reads no hand-over, its own neither."""
    topics = all_topics(city)
    for user in sources(city):
        own = f"in.{user}"
        assert writable(city, user, topics - {own}) == set(), user
        assert readable(city, user, topics) == ({f"domain.{user}"} & topics), user


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_reads_what_it_is_told_and_nothing_else(city: IsolatedCity, domain: str) -> None:
    """Not another domain's, no hand-over, nothing between steps, no state; of its own it writes hand-overs alone."""
    topics = all_topics(city)
    assert readable(city, domain, topics) == {f"domain.{domain}"}
    assert writable(city, domain, topics - {f"in.{domain}"}) == set()


def test_the_auditor_reads_all_and_writes_nothing(city: IsolatedCity) -> None:
    """States of steps and dead letters too."""
    topics = all_topics(city)
    assert readable(city, "auditor", topics) == topics
    assert writable(city, "auditor", topics) == set()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_writes_none_of_anothers_topics(city: IsolatedCity, step: str) -> None:
    """A worker that was taken over can't speak for the step before it, nor for a register."""
    own = {
        "intake": {"notice", "person.change", "rejected.", "command.", "state.intake."},
        "household": {"person.change", "case.opened", "rejected.", "state.household."},
        "fan-out": {"change.", "case.dispatched", "conflict", "rejected.", "state.fan-out."},
        "conversion": {"domain.", "disclosure.", "receipt", "state.conversion."},
        "tracker": {"state.tracker."},
    }.get(step, {f"receipt.{step.removeprefix('sink.')}"})
    mine = tuple(name for name in own if name != "receipt")
    exact = {"receipt"} & own | {f"dlq.{step}"}
    others = {topic for topic in all_topics(city) if topic not in exact and not topic.startswith(mine)}
    assert f"in.juki-cs.{city.places[0]}" in others
    assert writable(city, step, others) == set()


@pytest.mark.parametrize(("user", "password"), [("somebody", "x"), ("juki-cs", "x"), ("auditor", "guessed")])
def test_strangers_are_not_let_in(city: IsolatedCity, user: str, password: str) -> None:
    """Neither unknown users nor wrong passwords."""
    refused: list[int] = []
    login: Any = {"sasl.username": user, "sasl.password": password, "log_level": 0}
    login["error_cb"] = lambda error: refused.append(error.code())
    client = AdminClient({**city.environment.kafka("auditor"), **login})
    deadline = time.monotonic() + TIMEOUT_S
    while not refused and time.monotonic() < deadline:
        client.poll(0.1)
    assert refused[0] == KafkaError._AUTHENTICATION


def test_nobody_speaks_for_another_municipality(city: IsolatedCity) -> None:
    """A notice of one, handed over properly by another on its own topic, is refused, and says why."""
    one, other = (path.stem.split("_")[1] for path in sorted(city.files.glob("juki_*.csv"))[:2])
    first = next(messages(city, f"in.juki-cs.{one}"))
    value = first.value()
    assert value is not None
    before = {row["id"] for row in as_lines(city, "rejected", "list")}
    assert produce(city.environment, f"juki-cs.{other}", f"in.juki-cs.{other}", value) == "none"
    wait_idle(city.environment, city.installation, timeout_s=IDLE_TIMEOUT_S)
    fresh = [row for row in as_lines(city, "rejected", "list") if row["id"] not in before]
    assert [(row["municipality"], row["topic"]) for row in fresh] == [(other, f"in.juki-cs.{other}")]
    assert fresh[0]["code"] == "NOT_SUBMITTER"
