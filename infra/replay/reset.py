"""Forgets all that was derived: domain_stores, every topic but those of hand-overs, and how far each group was."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from infra.apply import domain_stores
from infra.apply.installation import Installation
from infra.apply.reconcile import declared
from infra.apply.topics_and_acls import TIMEOUT_S, admin
from infra.environment import Environment
from infra.errors import OperatorError
from schemas.systems import DOMAINS
from schemas.topics import STEPS, group, sink_step

#: A worker that was killed, or stopped elsewhere, is a member of its group until its session ends (10 s).
MEMBERS_TIMEOUT_S = 45.0
POLL_S = 0.05
_GONE = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART})


def delete_derived(environment: Environment, installation: Installation) -> int:
    """Forget; how many topics were deleted. Repeatable. OperatorError: workers are in their groups still."""
    client = admin(environment)
    forget_groups(client, [group(step) for step in (*STEPS, *map(sink_step, DOMAINS))])
    domain_stores.drop(environment)
    return forget_topics(client, derived(installation))


def derived(installation: Installation) -> list[str]:
    """Every topic but those of hand-overs."""
    return [topic.name for topic in declared(installation) if not topic.name.startswith("in.")]


def forget_groups(client: AdminClient, names: Collection[str]) -> None:
    """Delete those of these groups that there are. OperatorError: members do not leave."""
    deadline = time.monotonic() + MEMBERS_TIMEOUT_S
    left = list(names)
    while left:
        told = client.delete_consumer_groups(left, request_timeout=TIMEOUT_S)
        left = [name for name, answer in told.items() if not _done(answer)]
        if left and time.monotonic() > deadline:
            raise OperatorError(f"workers are still in {', '.join(left)}: stop them first", code=1)
        time.sleep(POLL_S if left else 0)


def forget_topics(client: AdminClient, names: Collection[str]) -> int:
    """Delete those of these topics that there are, and return when they are gone; how many it were."""
    there = [name for name in names if name in client.list_topics(timeout=TIMEOUT_S).topics]
    for answer in (client.delete_topics(there, operation_timeout=TIMEOUT_S) if there else {}).values():
        _done(answer)
    deadline = time.monotonic() + TIMEOUT_S
    while set(there) & client.list_topics(timeout=TIMEOUT_S).topics.keys():
        if time.monotonic() > deadline:
            raise OperatorError("topics that were deleted do not go", code=1)
        time.sleep(POLL_S)
    return len(there)


def _done(answer: Any) -> bool:
    """Whether it is gone; False where a group has members. OperatorError: refused for another reason."""
    try:
        answer.result(TIMEOUT_S)
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.NON_EMPTY_GROUP:
            return False
        if code not in _GONE:
            raise OperatorError(f"Kafka refused: {error.args[0].str()}", code=1) from error
    return True
