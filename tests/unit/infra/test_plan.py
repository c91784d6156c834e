"""The ACLs and topic settings that follow from the declarations."""

from __future__ import annotations

import pytest

from infra.apply.installation import ApplySettings, Installation, UnknownMunicipalityError
from infra.apply.plan import ANY_TIME_MS, AclRule, acls, partition_count, topic_config
from schemas.systems import DOMAINS
from schemas.topics import AUDITOR, STEPS, topics_of

TOPICS = topics_of(["131041", "473812"])
ACLS = acls(TOPICS)
SETTINGS = ApplySettings(partitions=3)


def on_topics(user: str, operation: str) -> set[str]:
    """Return the topics that a user may read or write."""
    return {
        rule.name for rule in ACLS if (rule.user, rule.kind, rule.operation) == (user, "TOPIC", operation)
    }


def test_a_register_writes_its_own_topic_and_reads_none() -> None:
    """A municipality's system can't publish for another one, and can't read."""
    assert on_topics("juki-cs.131041", "WRITE") == {"in.juki-cs.131041"}
    assert on_topics("juki-cs.131041", "READ") == set()


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_reads_its_own_topic_and_nothing_else(domain: str) -> None:
    """It reads no state, notice or other domain's topic, and writes its own input topics only.

    One of the high level reads none: only its sink has the key.
    """
    assert on_topics(domain, "READ") == (set() if DOMAINS[domain].is_high else {f"domain.{domain}"})
    assert all(name.startswith(f"in.{domain}") for name in on_topics(domain, "WRITE"))


def test_the_auditor_reads_everything_and_writes_nothing() -> None:
    """The auditor may join no group of the mesh."""
    assert on_topics(AUDITOR, "READ") == {topic.name for topic in TOPICS}
    assert on_topics(AUDITOR, "WRITE") == set()
    assert AclRule(AUDITOR, "GROUP", "mesh.", "READ", prefixed=True, denied=True) in ACLS


def test_topics_have_literal_acls() -> None:
    """A prefix would let existing users read topics that are created later."""
    assert not [rule for rule in ACLS if rule.kind == "TOPIC" and rule.prefixed]


@pytest.mark.parametrize("step", STEPS)
def test_a_step_has_its_own_group_and_transactions(step: str) -> None:
    """No step can fence another step's workers."""
    own = {(rule.kind, rule.name) for rule in ACLS if rule.user == step and rule.kind != "TOPIC"}
    assert own == {("GROUP", f"mesh.{step}"), ("TRANSACTIONAL_ID", f"mesh.{step}.")}


def test_only_intermediate_topics_expire() -> None:
    """With the setting, no input topic, evidence or state expires, and nothing that the tracker reads."""
    settings = ApplySettings(partitions=3, intermediate_retention_days=90)
    retention = {topic.name: topic_config(topic, settings)["retention.ms"] for topic in TOPICS}
    expiring = {name for name, retention_ms in retention.items() if retention_ms != "-1"}
    assert {retention[name] for name in expiring} == {str(90 * 86_400_000)}
    changes = {f"change.{domain}" for domain in DOMAINS}
    receipts = {f"receipt.{id_}" for id_, domain in DOMAINS.items() if not domain.is_high}
    assert expiring == {"notice", "person.change", *changes, *receipts}
    readers = {user for topic in TOPICS if topic.name in expiring for user in topic.readers}
    assert readers <= {*STEPS, AUDITOR} - {"tracker"}


def test_nothing_expires_by_default() -> None:
    """Record timestamps may be long past, or days of effect in the future."""
    for topic in TOPICS:
        config = topic_config(topic, SETTINGS)
        assert (config["retention.ms"], config["retention.bytes"]) == ("-1", "-1")
        assert config["message.timestamp.after.max.ms"] == str(ANY_TIME_MS)
        assert (config["cleanup.policy"] == "compact") == topic.compacted


def test_input_topics_have_the_time_of_the_broker() -> None:
    """A submitter's clock doesn't decide when a submission was received."""
    for topic in TOPICS:
        timestamp_type = topic_config(topic, SETTINGS)["message.timestamp.type"]
        assert (timestamp_type == "LogAppendTime") == topic.name.startswith("in.")


def test_keyed_topics_have_the_configured_number_of_partitions() -> None:
    """State and input of a person need partitions with the same number. Input topics have one partition."""
    by_name = {topic.name: partition_count(topic, SETTINGS) for topic in TOPICS}
    assert by_name["person.change"] == by_name["state.fan-out.persons"] == by_name["domain.child"] == 3
    assert by_name["in.juki.131041"] == by_name["conflict"] == 1


def test_an_admission_is_permanent(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A repeated admission changes nothing."""
    installation = Installation(tmp_path_factory.mktemp("home"))
    assert installation.admit(["473812", "131041"]) == ["131041", "473812"]
    assert installation.admit(["131041"]) == []
    assert installation.municipalities() == ["131041", "473812"]


@pytest.mark.parametrize("code", ["131042", "13104", "999999", "131041 ", ""])
def test_an_invalid_code_is_not_admitted(tmp_path_factory: pytest.TempPathFactory, code: str) -> None:
    """Valid codes of the same call are not admitted either."""
    installation = Installation(tmp_path_factory.mktemp("home"))
    with pytest.raises(UnknownMunicipalityError):
        installation.admit(["473812", code])
    assert installation.municipalities() == []
