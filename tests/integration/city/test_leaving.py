"""Workers that were stopped on purpose, for good, are members of no group any more."""

from __future__ import annotations

import pytest

from infra.apply.topics_and_acls import admin
from infra.errors import OperatorError
from infra.monitoring.groups import GroupMembers, groups
from infra.replay import reset
from infra.run import background
from infra.run.background import start_workers
from infra.run.group_leave import leave_groups
from infra.run.slots import Slot
from schemas.topics import group
from tests.integration.cluster import IntegrationCluster

GROUP = group("household")


def test_members_of_stopped_workers_leave_at_once(
    place: IntegrationCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the slots that are named and no other; only then can its group be forgotten without waiting."""
    place.forget()
    start_workers(place.environment, place.installation, 2, ("household",))
    client = admin(place.environment)
    assert background.stop(place.installation) is not None
    monkeypatch.setattr(reset, "MEMBERS_TIMEOUT_S", 0.0)
    assert leave_groups(place.environment, [Slot("household", 1)]) == 1
    assert list(groups(client, [GROUP])[GROUP].members) == ["mesh.household.0"]
    with pytest.raises(OperatorError, match=f"still in {GROUP}"):
        reset.forget_groups(client, [GROUP])
    assert leave_groups(place.environment, [Slot("household", 0), Slot("household", 1)]) == 1
    assert groups(client, [GROUP])[GROUP] == GroupMembers(stable=False, members={})
    reset.forget_groups(client, [GROUP])
    assert leave_groups(place.environment, [Slot("household", 0)]) == 0
