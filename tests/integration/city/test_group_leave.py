"""Workers that were stopped for good are no longer members of a group."""

from __future__ import annotations

import pytest

from infra.apply.topics_and_acls import admin_client
from infra.errors import OperatorError
from infra.monitoring.groups import GroupMembers, describe_groups
from infra.replay import reset
from infra.run import background
from infra.run.background import start_workers
from infra.run.group_leave import leave_groups
from infra.run.slots import Slot
from schemas.topics import group
from tests.integration.cluster import IntegrationCluster

GROUP = group("household")


def test_leave_groups_removes_the_members_of_stopped_workers(
    cluster: IntegrationCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the members of the given slots leave; then the group can be deleted without waiting for a timeout."""
    cluster.reset()
    start_workers(cluster.environment, cluster.installation, 2, ("household",))
    client = admin_client(cluster.environment)
    assert background.stop(cluster.installation) is not None
    monkeypatch.setattr(reset, "MEMBERS_TIMEOUT_S", 0.0)
    assert leave_groups(cluster.environment, [Slot("household", 1)]) == 1
    assert list(describe_groups(client, [GROUP])[GROUP].members) == ["mesh.household.0"]
    with pytest.raises(OperatorError, match=f"still in {GROUP}"):
        reset.delete_groups(client, [GROUP])
    assert leave_groups(cluster.environment, [Slot("household", 0), Slot("household", 1)]) == 1
    assert describe_groups(client, [GROUP])[GROUP] == GroupMembers(stable=False, members={})
    reset.delete_groups(client, [GROUP])
    assert leave_groups(cluster.environment, [Slot("household", 0)]) == 0
