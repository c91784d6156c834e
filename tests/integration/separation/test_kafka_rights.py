"""Every Kafka user tries every topic: it reads and writes its own and is denied the rest."""

from __future__ import annotations

import time
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from infra.monitoring.waiting import wait_idle
from schemas.systems import DOMAINS
from tests.integration.separation.city import IDLE_TIMEOUT_S, TIMEOUT_S, IsolatedCity, json_rows, produce
from tests.integration.separation.observed import messages
from tests.standard_level import STANDARD_DOMAINS

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

DENIED = "TOPIC_AUTHORIZATION_FAILED"
#: The error of a user without a consumer group.
NO_GROUP = "GROUP_AUTHORIZATION_FAILED"
PREFIXES = (
    *("in.", "notice", "person.", "case.", "change.", "domain.", "disclosure.", "receipt"),
    *("state.", "dlq.", "command.", "conflict", "rejected."),
)
STEPS = ("intake", "household", "fan-out", "conversion", "tracker", *(f"sink.{domain}" for domain in DOMAINS))


def all_topics(city: IsolatedCity) -> set[str]:
    """Return every topic except those of Kafka and of the registry."""
    topics = AdminClient({**city.environment.kafka("admin")}).list_topics(timeout=TIMEOUT_S).topics
    return {name for name in topics if name.startswith(PREFIXES) and not name.startswith("_")}


def readable(city: IsolatedCity, user: str, topics: set[str]) -> set[str]:
    """Return the topics of which the user can read a record or the end.

    It can't list the others, because the read ACL would allow that; it tries every topic that it can list.
    """
    client = AdminClient({**city.environment.kafka(user), "log_level": 0})
    visible = client.list_topics(timeout=TIMEOUT_S).topics.keys() & topics
    results = read_results(city, user, visible) if visible else {}
    assert set(results.values()) <= {"read", DENIED}
    return {topic for topic, result in results.items() if result == "read"}


def read_results(city: IsolatedCity, user: str, topics: set[str]) -> dict[str, str]:
    """Read topics as a user; return for each `read`, for a record or the end, or the name of the error."""
    properties = {**city.environment.kafka(user), "group.id": f"{user}.tries", "enable.partition.eof": True}
    consumer, results = Consumer({**properties, "log_level": 0}), dict[str, str]()
    deadline = time.monotonic() + TIMEOUT_S
    try:
        consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
        while results.keys() != topics:
            assert time.monotonic() < deadline, f"no answer about {topics - results.keys()}"
            for message in consumer.consume(1_000, 0.1):
                error, topic = message.error(), message.topic()
                is_read = error is None or error.code() == KafkaError._PARTITION_EOF
                result = "read" if error is None or is_read else error.name()
                # A user without a consumer group gets its error beside that of each topic.
                if topic is not None:
                    results.setdefault(topic, result)
                else:
                    assert result == NO_GROUP
        return results
    finally:
        consumer.close()


def writable(city: IsolatedCity, user: str, topics: set[str]) -> set[str]:
    """Return the topics to which the user can write; it is denied each of the others."""
    results: dict[str, str] = {}

    def delivered(error: KafkaError | None, message: object) -> None:
        topic = str(message.topic())  # type: ignore[attr-defined]
        results[topic] = error.name() if error else "written"

    producer = Producer({**city.environment.kafka(user), "log_level": 0, "message.timeout.ms": 20_000})
    for topic in topics:
        producer.produce(topic, b"x", on_delivery=delivered)
    assert producer.flush(TIMEOUT_S) == 0
    assert set(results.values()) <= {"written", DENIED}
    return {topic for topic, result in results.items() if result == "written"}


def sources(city: IsolatedCity) -> list[str]:
    """Return a user of each system that publishes submissions."""
    municipality = city.municipalities[0]
    return [
        *(f"{name}.{municipality}" for name in ("juki", "juki-cs", "child", "care")),
        "pension",
        "nta",
        "card",
        "portal",
    ]


def test_a_source_writes_only_its_own_topic(city: IsolatedCity) -> None:
    """It writes neither another municipality's topic nor a step's, and reads no input topic, not even its own."""
    topics = all_topics(city)
    for user in sources(city):
        own = f"in.{user}"
        assert writable(city, user, topics - {own}) == set(), user
        assert readable(city, user, topics) == ({f"domain.{user}"} & topics), user


@pytest.mark.parametrize("domain", STANDARD_DOMAINS)
def test_a_domain_reads_only_its_own_topic(city: IsolatedCity, domain: str) -> None:
    """It reads no other domain, input topic, intermediate topic or state, and writes only its own input topic."""
    topics = all_topics(city)
    assert readable(city, domain, topics) == {f"domain.{domain}"}
    assert writable(city, domain, topics - {f"in.{domain}"}) == set()


def test_the_auditor_reads_everything_and_writes_nothing(city: IsolatedCity) -> None:
    """The auditor also reads states and dead letters."""
    topics = all_topics(city)
    assert readable(city, "auditor", topics) == topics
    assert writable(city, "auditor", topics) == set()


@pytest.mark.parametrize("step", STEPS)
def test_a_step_can_not_write_the_topics_of_another(city: IsolatedCity, step: str) -> None:
    """An attacker who controls a worker can't write as another step or as a register."""
    own = {
        "intake": {"notice", "person.change", "rejected.", "command.", "state.intake."},
        "household": {"person.change", "case.opened", "rejected.", "state.household."},
        "fan-out": {"change.", "person.change", "case.dispatched", "conflict", "rejected.", "state.fan-out."},
        "conversion": {"domain.", "disclosure.", "receipt", "state.conversion."},
        "tracker": {"state.tracker."},
    }.get(step, {f"receipt.{step.removeprefix('sink.')}"})
    prefixes = tuple(name for name in own if name != "receipt")
    exact = {"receipt"} & own | {f"dlq.{step}"}
    others = {topic for topic in all_topics(city) if topic not in exact and not topic.startswith(prefixes)}
    assert f"in.juki-cs.{city.municipalities[0]}" in others
    assert writable(city, step, others) == set()


@pytest.mark.parametrize(("user", "password"), [("somebody", "x"), ("juki-cs", "x"), ("auditor", "guessed")])
def test_unknown_users_and_wrong_passwords_are_rejected(city: IsolatedCity, user: str, password: str) -> None:
    """The broker results with an authentication error."""
    codes: list[int] = []
    login: Any = {"sasl.username": user, "sasl.password": password, "log_level": 0}
    login["error_cb"] = lambda error: codes.append(error.code())
    client = AdminClient({**city.environment.kafka("auditor"), **login})
    deadline = time.monotonic() + TIMEOUT_S
    while not codes and time.monotonic() < deadline:
        client.poll(0.1)
    assert codes[0] == KafkaError._AUTHENTICATION


def test_a_submitter_can_not_submit_for_another_municipality(city: IsolatedCity) -> None:
    """A notice of another municipality on the submitter's own topic is rejected with code NOT_SUBMITTER."""
    one, other = (path.stem.split("_")[1] for path in sorted(city.files.glob("juki_*.csv"))[:2])
    first = next(messages(city, f"in.juki-cs.{one}"))
    value = first.value()
    assert value is not None
    before = {row["id"] for row in json_rows(city, "rejected", "list")}
    assert produce(city.environment, f"juki-cs.{other}", f"in.juki-cs.{other}", value) == "none"
    wait_idle(city.environment, city.installation, timeout_s=IDLE_TIMEOUT_S)
    new = [row for row in json_rows(city, "rejected", "list") if row["id"] not in before]
    assert [(row["municipality"], row["topic"]) for row in new] == [(other, f"in.juki-cs.{other}")]
    assert new[0]["code"] == "NOT_SUBMITTER"
