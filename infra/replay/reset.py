"""Deletes everything derived: stores, every topic but the input topics, and the groups with their offsets."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.apply.reconcile import declared_topics
from infra.apply.schemas_and_stores import drop_stores
from infra.apply.topics_and_acls import TIMEOUT_S, admin_client
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.systems import DOMAINS
from schemas.topics import KEY_FINGERPRINT, STEPS, group, sink_step

#: A worker that was killed, or stopped elsewhere, is a member of its group until its session ends (10 s).
MEMBERS_TIMEOUT_S = 45.0
POLL_S = 0.05
_ALREADY_DELETED = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART})


def delete_derived(environment: Environment, installation: Installation) -> int:
    """Delete groups, stores and derived topics; return how many topics were deleted. Repeatable.

    Raise OperatorError (code 1) where groups still have members.
    """
    client = admin_client(environment)
    delete_groups(client, [group(step) for step in (*STEPS, *map(sink_step, DOMAINS))])
    drop_stores(environment)
    return delete_topics(client, derived_topics(installation))


def derived_topics(installation: Installation) -> list[str]:
    """Return every topic but the input topics and the one of the keys, which no step writes."""
    names = [topic.name for topic in declared_topics(installation)]
    return [name for name in names if not name.startswith("in.") and name != KEY_FINGERPRINT]


def delete_groups(client: AdminClient, names: Collection[str]) -> None:
    """Delete these groups; missing ones are skipped. Raise OperatorError where their members don't leave."""
    deadline = time.monotonic() + MEMBERS_TIMEOUT_S
    remaining = list(names)
    while remaining:
        answers = client.delete_consumer_groups(remaining, request_timeout=TIMEOUT_S)
        remaining = [name for name, answer in answers.items() if not _is_deleted(answer)]
        if remaining and time.monotonic() > deadline:
            raise OperatorError(f"workers are still in {', '.join(remaining)}: stop them first", code=1)
        time.sleep(POLL_S if remaining else 0)


def delete_topics(client: AdminClient, names: Collection[str]) -> int:
    """Delete these topics, wait until they are deleted, and return how many existed; missing ones are skipped."""
    known = client.list_topics(timeout=TIMEOUT_S).topics
    existing = [name for name in names if name in known]
    answers = client.delete_topics(existing, operation_timeout=TIMEOUT_S) if existing else {}
    for answer in answers.values():
        _is_deleted(answer)
    deadline = time.monotonic() + TIMEOUT_S
    while set(existing) & client.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > deadline:
            raise OperatorError(
                f"deleted topics are still listed after {TIMEOUT_S:.0f} s; run the command again", code=1
            )
        time.sleep(POLL_S)
    return len(existing)


def _is_deleted(answer: Any) -> bool:
    """Return whether the group or topic is deleted; False for a group that has members.

    Raise OperatorError (code 1) where Kafka has another reason not to delete it.
    """
    try:
        answer.result(TIMEOUT_S)
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.NON_EMPTY_GROUP:
            return False
        if code not in _ALREADY_DELETED:
            raise OperatorError(f"Kafka did not delete it: {error.args[0].str()}", code=1) from error
    return True
