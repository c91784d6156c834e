"""Ports of an installation by name, for any number of brokers."""

from __future__ import annotations

import pytest

from infra.local.home import Ports, StackState
from infra.local.kafka_server import bootstrap, replication
from infra.local.stack import choose_ports


@pytest.mark.parametrize(
    ("brokers", "tunnels"), [(1, []), (1, [29_000]), (3, []), (3, [29_000, 29_001, 29_002])]
)
def test_every_port_has_a_name_and_is_replaced_by_it(brokers: int, tunnels: list[int]) -> None:
    """All ports differ, and replacing one changes no other."""
    ports = choose_ports(brokers, tunnels)
    named = ports.by_name()
    assert len(set(named.values())) == len(named) == 5 + 2 * (brokers - 1) + len(tunnels)
    assert ports.with_ports({}) == ports
    for name in named:
        changed = ports.with_ports({name: 1}).by_name()
        assert {other for other in named if changed[other] != named[other]} == {name}


def test_the_state_of_an_earlier_release_is_read() -> None:
    """It has the ports of one broker and no cluster ID."""
    stored = {"kafka": 1, "controller": 2, "registry": 3, "registry_management": 4, "postgres": 5}
    state = StackState.model_validate({"ports": stored, "postgres": "/x", "registry_granted": True})
    assert state.ports == Ports(kafka=1, controller=2, registry=3, registry_management=4, postgres=5)
    assert bootstrap(state.ports) == "127.0.0.1:1"


@pytest.mark.parametrize(("brokers", "expected"), [(1, (1, 1)), (3, (3, 2))])
def test_one_of_three_brokers_may_fail(brokers: int, expected: tuple[int, int]) -> None:
    """Topics have three replicas then, and a write needs two of them."""
    assert replication(brokers) == expected
