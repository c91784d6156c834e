"""Attack: a submitter that floods its input topic, or the brokers, and slows everybody else down."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import Producer

from infra.apply.reconcile import apply
from tests.integration.mesh.conftest import Mesh

TIMEOUT_S = 30.0
USER, OTHER, STEP = "juki-cs.131041", "juki.131041", "intake"
#: The smallest limit of the setting, and four times as much as it allows for a second.
BYTES_PER_S = 65_536
RECORD = b"x" * 65_536


@pytest.fixture
def low_quota(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Yield how many users got a low quota by `mesh apply`; restore the default afterwards."""
    with monkeypatch.context() as patch:
        patch.setenv("MESH_SUBMITTER_BYTES_PER_S", str(BYTES_PER_S))
        yield apply(mesh.environment, mesh.installation).quotas
    apply(mesh.environment, mesh.installation)


def throttled_ms(mesh: Mesh, user: str, topic: str, records: int) -> float:
    """Write records as a user; return the longest time for which the broker held back the client."""
    held_back = [0.0]
    producer = Producer(
        {
            **mesh.environment.kafka(user),
            "log_level": 0,
            "linger.ms": 0,
            "batch.num.messages": 1,
            "throttle_cb": lambda event: held_back.append(event.throttle_time),
        }
    )
    for _ in range(records):
        producer.produce(topic, RECORD)
        producer.poll(0)
    assert producer.flush(TIMEOUT_S) == 0
    return max(held_back)


def test_a_user_that_writes_too_much_is_slowed_down_and_no_other(mesh: Mesh, low_quota: int) -> None:
    """Its records are written all the same, later; the quota of an existing installation is changed by `apply`."""
    assert low_quota >= 2
    assert throttled_ms(mesh, USER, f"in.{USER}", 24) > 0
    assert throttled_ms(mesh, OTHER, f"in.{OTHER}", 1) == 0
    assert apply(mesh.environment, mesh.installation).changes == 0
