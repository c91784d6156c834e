"""Workers that were stopped on purpose, for good, are members of no group any more."""

from __future__ import annotations

import pytest

from infra.apply.kafka import admin
from infra.errors import OperatorError
from infra.look.groups import Group, groups
from infra.replay import forget
from infra.run import background
from infra.run.leaving import leave
from infra.run.ready import start_workers
from infra.run.slots import Slot
from schemas.topics import group
from tests.integration.place import Place

GROUP = group("household")


def test_members_of_stopped_workers_leave_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the slots that are named and no other; only then can its group be forgotten without waiting."""
    place.forget()
    start_workers(place.environment, place.installation, 2, ("household",))
    client = admin(place.environment)
    assert background.stop(place.installation) is not None
    monkeypatch.setattr(forget, "MEMBERS_TIMEOUT_S", 0.0)
    assert leave(place.environment, [Slot("household", 1)]) == 1
    assert list(groups(client, [GROUP])[GROUP].members) == ["mesh.household.0"]
    with pytest.raises(OperatorError, match=f"still in {GROUP}"):
        forget.forget_groups(client, [GROUP])
    assert leave(place.environment, [Slot("household", 0), Slot("household", 1)]) == 1
    assert groups(client, [GROUP])[GROUP] == Group(stable=False, members={})
    forget.forget_groups(client, [GROUP])
    assert leave(place.environment, [Slot("household", 0)]) == 0
