"""What the declarations ask of Kafka: who may do what, and how topics are kept."""

from __future__ import annotations

import pytest

from infra.apply.installation import ApplySettings, Installation, UnknownMunicipalityError
from infra.apply.plan import ANY_TIME_MS, AclRule, acls, partitions, topic_config
from schemas.systems import DOMAINS
from schemas.topics import AUDITOR, STEPS, topics_of

TOPICS = topics_of(["131041", "473812"])
RIGHTS = acls(TOPICS)
SETTINGS = ApplySettings(partitions=3)


def on_topics(user: str, operation: str) -> set[str]:
    """Topics that a user may read or write."""
    return {r.name for r in RIGHTS if (r.user, r.kind, r.operation) == (user, "TOPIC", operation)}


def test_a_register_writes_its_own_topic_and_reads_none() -> None:
    """A municipality's system can't speak for another, nor listen."""
    assert on_topics("juki-cs.131041", "WRITE") == {"in.juki-cs.131041"}
    assert on_topics("juki-cs.131041", "READ") == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_reads_what_it_is_told_and_nothing_else(domain: str) -> None:
    """No state, no notice, no other domain's topic; no write beside its own hand-overs."""
    assert on_topics(domain, "READ") == {f"domain.{domain}"}
    assert all(name.startswith(f"in.{domain}") for name in on_topics(domain, "WRITE"))


def test_the_auditor_reads_everything_and_writes_nothing() -> None:
    """And may join no group of the mesh's."""
    assert on_topics(AUDITOR, "READ") == {topic.name for topic in TOPICS}
    assert on_topics(AUDITOR, "WRITE") == set()
    assert AclRule(AUDITOR, "GROUP", "mesh.", "READ", prefixed=True, denied=True) in RIGHTS


def test_topics_are_named_letter_by_letter() -> None:
    """A prefix would let a new topic be read by whoever came before it."""
    assert not [right for right in RIGHTS if right.kind == "TOPIC" and right.prefixed]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_its_own_group_and_transactions(step: str) -> None:
    """Nobody can fence another step's workers."""
    mine = {(r.kind, r.name) for r in RIGHTS if r.user == step and r.kind != "TOPIC"}
    assert mine == {("GROUP", f"mesh.{step}"), ("TRANSACTIONAL_ID", f"mesh.{step}.")}


def test_only_what_stands_between_two_steps_may_be_deleted_by_age() -> None:
    """Where an operator says so: nothing that was handed over, told, disclosed or set aside, and no tracker's input."""
    settings = ApplySettings(partitions=3, intermediate_retention_days=90)
    kept = {topic.name: topic_config(topic, settings)["retention.ms"] for topic in TOPICS}
    found = {name for name, kept_ms in kept.items() if kept_ms != "-1"}
    assert {kept[name] for name in found} == {str(90 * 86_400_000)}
    changes, receipts = ({f"{kind}.{domain}" for domain in DOMAINS} for kind in ("change", "receipt"))
    assert found == {"notice", "person.change", *changes, *receipts}
    readers = {user for topic in TOPICS if topic.name in found for user in topic.readers}
    assert readers <= {*STEPS, AUDITOR} - {"tracker"}


def test_nothing_is_ever_deleted_by_age() -> None:
    """Records carry old event times, and days of effect that are to come."""
    for topic in TOPICS:
        config = topic_config(topic, SETTINGS)
        assert (config["retention.ms"], config["retention.bytes"]) == ("-1", "-1")
        assert config["message.timestamp.after.max.ms"] == str(ANY_TIME_MS)
        assert (config["cleanup.policy"] == "compact") == topic.compacted


def test_who_hands_over_does_not_say_when() -> None:
    """The broker's clock is when something was received."""
    for topic in TOPICS:
        kind = topic_config(topic, SETTINGS)["message.timestamp.type"]
        assert (kind == "LogAppendTime") == topic.name.startswith("in.")


def test_keyed_topics_have_the_partitions_of_the_setting() -> None:
    """All of them the same number, as a change of a person must meet its state; hand-overs one."""
    by_name = {topic.name: partitions(topic, SETTINGS) for topic in TOPICS}
    assert by_name["person.change"] == by_name["state.fan-out.persons"] == by_name["domain.child"] == 3
    assert by_name["in.juki.131041"] == by_name["conflict"] == 1


def test_who_is_admitted_stays_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Told once; told again it is nothing new."""
    installation = Installation(tmp_path_factory.mktemp("home"))
    assert installation.admit(["473812", "131041"]) == ["131041", "473812"]
    assert installation.admit(["131041"]) == []
    assert installation.municipalities() == ["131041", "473812"]


@pytest.mark.parametrize("code", ["131042", "13104", "999999", "131041 ", ""])
def test_what_is_no_municipality_is_not_admitted(tmp_path_factory: pytest.TempPathFactory, code: str) -> None:
    """Nor is who was named beside it."""
    installation = Installation(tmp_path_factory.mktemp("home"))
    with pytest.raises(UnknownMunicipalityError):
        installation.admit(["473812", code])
    assert installation.municipalities() == []
