"""Requests of `mesh apply` to the controller have a bounded size, however many municipalities take part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from infra.apply import topics_and_acls
from infra.apply.installation import ApplySettings
from infra.apply.plan import acls, partition_count
from infra.environment import Environment
from schemas.topics import topics_of, users

MUNICIPALITIES = [f"{number:06d}" for number in range(1_741)]


class Controller:
    """A controller that records the size of each request. Its topics have other settings than declared."""

    def __init__(self, topics: Mapping[str, Any] | None = None) -> None:
        self.request_sizes: dict[str, list[int]] = {
            "users": [],
            "topics": [],
            "acls": [],
            "describe": [],
            "alter": [],
        }
        self._topics = topics or {}

    def alter_user_scram_credentials(self, changes: list[Any]) -> dict[Any, Any]:
        """Set passwords of users."""
        return self._record("users", changes)

    def create_topics(self, topics: list[Any], operation_timeout: float) -> dict[Any, Any]:
        """Create topics."""
        return self._record("topics", topics)

    def create_acls(self, bindings: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Create ACLs."""
        return self._record("acls", bindings)

    def list_topics(self, timeout: float) -> Any:
        """Return the existing topics."""
        return SimpleNamespace(topics=self._topics)

    def describe_configs(self, topics: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Return settings that differ from the declared ones."""
        self._record("describe", topics)
        return {topic: _done(defaultdict(lambda: SimpleNamespace(value="other"))) for topic in topics}

    def incremental_alter_configs(self, topics: list[Any]) -> dict[Any, Any]:
        """Change settings of topics."""
        return self._record("alter", topics)

    def describe_user_scram_credentials(self) -> Future[dict[str, Any]]:
        """Return no users."""
        return _done({})

    def describe_acls(self, anything: Any) -> Future[list[Any]]:
        """Return no ACLs."""
        return _done([])

    def _record(self, kind: str, items: list[Any]) -> dict[Any, Any]:
        self.request_sizes[kind].append(len(items))
        return {number: _done(None) for number in range(len(items))}


def test_creation_for_a_whole_country_is_split_into_requests() -> None:
    """No request exceeds its limit, and together they contain everything."""
    controller = Controller()
    client = cast("AdminClient", controller)
    secrets = SimpleNamespace(password=lambda user: SecretStr("secret"))
    environment = cast("Environment", SimpleNamespace(secrets=lambda: secrets))
    topics = topics_of(MUNICIPALITIES)
    all_users, rules = users(topics), acls(topics)
    assert topics_and_acls.set_users(client, environment, all_users, renew=False) == len(all_users)
    assert topics_and_acls.create_or_alter_topics(client, topics, ApplySettings()) == len(topics)
    assert topics_and_acls.sync_acls(client, rules, set(all_users)) == (len(rules), 0)
    totals = {"users": len(all_users), "topics": len(topics), "acls": len(rules)}
    limits = {
        "users": topics_and_acls.USERS_MAX,
        "topics": topics_and_acls.TOPICS_MAX,
        "acls": topics_and_acls.ACLS_MAX,
    }
    for kind, total in totals.items():
        assert sum(controller.request_sizes[kind]) == total > 3 * limits[kind]
        assert max(controller.request_sizes[kind]) <= limits[kind]


def test_changes_for_a_whole_country_are_split_into_requests() -> None:
    """Settings of existing topics are described and altered in requests of limited size."""
    topics, settings = topics_of(MUNICIPALITIES), ApplySettings()
    existing = {
        topic.name: SimpleNamespace(partitions=range(partition_count(topic, settings))) for topic in topics
    }
    controller = Controller(existing)
    assert topics_and_acls.create_or_alter_topics(cast("AdminClient", controller), topics, settings) == len(
        topics
    )
    for kind in ("describe", "alter"):
        assert sum(controller.request_sizes[kind]) == len(topics)
        assert max(controller.request_sizes[kind]) <= topics_and_acls.TOPICS_MAX


class Broker:
    """One of two brokers that follow the controller's log: it has an ACL only after `delay` requests."""

    def __init__(self, delay: int) -> None:
        self.requests, self.acls, self._delay = 0, list[Any](), delay

    def create_acls(self, bindings: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Add ACLs to the controller's log."""
        self.acls += bindings
        return {number: _done(None) for number in range(len(bindings))}

    def describe_acls(self, acl_filter: Any) -> Future[list[Any]]:
        """Return the ACLs that the broker has now."""
        self.requests += 1
        return _done(
            [acl for acl in self.acls if acl.name == acl_filter.name and self.requests > self._delay]
        )

    def delete_acls(self, filters: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Remove ACLs from the controller's log."""
        names = {acl_filter.name for acl_filter in filters}
        self.acls = [acl for acl in self.acls if acl.name not in names]
        return {number: _done(None) for number in range(len(filters))}

    def list_topics(self, timeout: float) -> Any:
        """Return metadata with two brokers."""
        return SimpleNamespace(brokers={1: None, 2: None})


def test_apply_waits_until_all_brokers_have_the_last_acl() -> None:
    """It returns after as many positive answers in a row as there are brokers, and removes the ACL."""
    broker = Broker(delay=3)
    pauses: list[float] = []
    topics_and_acls.wait_until_enforced(cast("AdminClient", broker), pauses.append)
    assert broker.requests == 3 + 2
    assert sum(pauses) == pytest.approx(3 * topics_and_acls.POLL_S)
    assert broker.acls == []


def test_brokers_that_never_get_the_last_acl_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise brokers would reject operations that are allowed. The ACL is removed."""
    monkeypatch.setattr(topics_and_acls, "TIMEOUT_S", 0.05)
    broker = Broker(delay=1_000_000_000)
    with pytest.raises(topics_and_acls.ApplyError, match="not all brokers enforce the changes"):
        topics_and_acls.wait_until_enforced(cast("AdminClient", broker))
    assert broker.acls == []


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future
