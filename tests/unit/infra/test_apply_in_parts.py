"""What `mesh apply` asks of the controller at once is bounded, however many municipalities take part."""

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
from infra.apply.plan import acls, partitions
from infra.environment import Environment
from schemas.topics import topics_of, users

MUNICIPALITIES = [f"{number:06d}" for number in range(1_741)]


class Controller:
    """Takes note of how much each request is about; knows these topics beforehand, none with a setting as declared."""

    def __init__(self, topics: Mapping[str, Any] | None = None) -> None:
        self.asked: dict[str, list[int]] = {
            "users": [],
            "topics": [],
            "rights": [],
            "settings": [],
            "set": [],
        }
        self._topics = topics or {}

    def alter_user_scram_credentials(self, changes: list[Any]) -> dict[Any, Any]:
        """Users."""
        return self._noted("users", changes)

    def create_topics(self, topics: list[Any], operation_timeout: float) -> dict[Any, Any]:
        """Topics."""
        return self._noted("topics", topics)

    def create_acls(self, bindings: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Rights."""
        return self._noted("rights", bindings)

    def list_topics(self, timeout: float) -> Any:
        """Those it knows."""
        return SimpleNamespace(topics=self._topics)

    def describe_configs(self, topics: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Settings that are not as declared."""
        self._noted("settings", topics)
        return {topic: _done(defaultdict(lambda: SimpleNamespace(value="other"))) for topic in topics}

    def incremental_alter_configs(self, topics: list[Any]) -> dict[Any, Any]:
        """Settings."""
        return self._noted("set", topics)

    def describe_user_scram_credentials(self) -> Future[dict[str, Any]]:
        """None."""
        return _done({})

    def describe_acls(self, anything: Any) -> Future[list[Any]]:
        """None."""
        return _done([])

    def _noted(self, kind: str, given: list[Any]) -> dict[Any, Any]:
        self.asked[kind].append(len(given))
        return {number: _done(None) for number in range(len(given))}


def test_a_nation_is_asked_for_in_parts() -> None:
    """None larger than a request may be, and all of it in the end."""
    controller = Controller()
    client = cast("AdminClient", controller)
    secrets = SimpleNamespace(password=lambda user: SecretStr("secret"))
    environment = cast("Environment", SimpleNamespace(secrets=lambda: secrets))
    topics = topics_of(MUNICIPALITIES)
    everybody, wanted = users(topics), acls(topics)
    assert topics_and_acls.make_users(client, environment, everybody, renew=False) == len(everybody)
    assert topics_and_acls.make_topics(client, topics, ApplySettings()) == len(topics)
    assert topics_and_acls.sync_acls(client, wanted, set(everybody)) == (len(wanted), 0)
    totals = {"users": len(everybody), "topics": len(topics), "rights": len(wanted)}
    limits = {
        "users": topics_and_acls.USERS_MAX,
        "topics": topics_and_acls.TOPICS_MAX,
        "rights": topics_and_acls.RIGHTS_MAX,
    }
    for kind, total in totals.items():
        assert sum(controller.asked[kind]) == total > 3 * limits[kind]
        assert max(controller.asked[kind]) <= limits[kind]


def test_a_nation_is_looked_at_in_parts() -> None:
    """The settings of topics that are there: as many at once as are made at once."""
    topics, settings = topics_of(MUNICIPALITIES), ApplySettings()
    known = {topic.name: SimpleNamespace(partitions=range(partitions(topic, settings))) for topic in topics}
    controller = Controller(known)
    assert topics_and_acls.make_topics(cast("AdminClient", controller), topics, settings) == len(topics)
    for kind in ("settings", "set"):
        assert sum(controller.asked[kind]) == len(topics)
        assert max(controller.asked[kind]) <= topics_and_acls.TOPICS_MAX


class Broker:
    """Follows the controller's log: it knows of a mark when it was asked `late` times. One of two."""

    def __init__(self, late: int) -> None:
        self.asked, self.marks, self._late = 0, list[Any](), late

    def create_acls(self, bindings: list[Any], request_timeout: float) -> dict[Any, Any]:
        """The controller has them."""
        self.marks += bindings
        return {number: _done(None) for number in range(len(bindings))}

    def describe_acls(self, asked: Any) -> Future[list[Any]]:
        """What this broker has."""
        self.asked += 1
        return _done([each for each in self.marks if each.name == asked.name and self.asked > self._late])

    def delete_acls(self, filters: list[Any], request_timeout: float) -> dict[Any, Any]:
        """Gone."""
        self.marks = [each for each in self.marks if each.name not in {one.name for one in filters}]
        return {number: _done(None) for number in range(len(filters))}

    def list_topics(self, timeout: float) -> Any:
        """Two brokers."""
        return SimpleNamespace(brokers={1: None, 2: None})


def test_it_returns_when_brokers_work_by_it() -> None:
    """Whoever is admitted may begin: not before every broker knows, and the mark is gone."""
    broker = Broker(late=3)
    pauses: list[float] = []
    topics_and_acls.wait_in_force(cast("AdminClient", broker), pauses.append)
    assert broker.asked == 3 + 2
    assert sum(pauses) == pytest.approx(3 * topics_and_acls.POLL_S)
    assert broker.marks == []


def test_brokers_that_never_follow_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error, not a mesh that refuses its users."""
    monkeypatch.setattr(topics_and_acls, "TIMEOUT_S", 0.05)
    broker = Broker(late=1_000_000_000)
    with pytest.raises(topics_and_acls.ApplyError, match="brokers do not work by what was applied"):
        topics_and_acls.wait_in_force(cast("AdminClient", broker))
    assert broker.marks == []


def _done(result: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(result)
    return future
