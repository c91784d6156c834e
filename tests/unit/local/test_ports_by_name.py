"""Ports of an installation by their names, for any number of brokers."""

from __future__ import annotations

import pytest

from infra.local.home import Ports, StackState
from infra.local.kafka_server import bootstrap, replication
from infra.local.stack import first_ports


@pytest.mark.parametrize(
    ("brokers", "tunnels"), [(1, []), (1, [29_000]), (3, []), (3, [29_000, 29_001, 29_002])]
)
def test_every_port_has_a_name_and_moves_by_it(brokers: int, tunnels: list[int]) -> None:
    """Each number is used once; a port moved is the only one that changes."""
    ports = first_ports(brokers, tunnels)
    named = ports.named()
    assert len(set(named.values())) == len(named) == 5 + 2 * (brokers - 1) + len(tunnels)
    assert ports.moved({}) == ports
    for name in named:
        moved = ports.moved({name: 1}).named()
        assert {other for other in named if moved[other] != named[other]} == {name}


def test_an_earlier_release_had_one_broker() -> None:
    """Its state is still read."""
    told = {"kafka": 1, "controller": 2, "registry": 3, "registry_management": 4, "postgres": 5}
    state = StackState.model_validate({"ports": told, "postgres": "/x", "registry_granted": True})
    assert state.ports == Ports(kafka=1, controller=2, registry=3, registry_management=4, postgres=5)
    assert bootstrap(state.ports) == "127.0.0.1:1"


@pytest.mark.parametrize(("brokers", "wanted"), [(1, (1, 1)), (3, (3, 2))])
def test_one_broker_may_be_gone_of_three(brokers: int, wanted: tuple[int, int]) -> None:
    """And of one none."""
    assert replication(brokers) == wanted
