"""Every submitting user has quotas, and the request that sets them is what the protocol says."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import ClusterAuthorizationFailedError

from infra.apply import quotas
from infra.apply.installation import ApplySettings
from infra.apply.plan import quotas as declared_quotas
from infra.apply.topics_and_acls import ApplyError
from schemas.topics import topics_of

LIMITS = {"producer_byte_rate": 1e6, "request_percentage": 50.0}


def test_exactly_the_users_that_submit_have_quotas() -> None:
    """Registers, domains and the operator, but no step: a step must never be slowed down."""
    settings = ApplySettings(submitter_bytes_per_s=1_000_000, submitter_request_percent=50)
    declared = declared_quotas(topics_of(["131041"]), settings)
    assert {
        "juki.131041",
        "juki-cs.131041",
        "child.131041",
        "pension",
        "portal",
        "operator",
    } <= declared.keys()
    assert not declared.keys() & {
        "intake",
        "household",
        "fan-out",
        "conversion",
        "tracker",
        "auditor",
        "sink.nta",
    }
    assert declared["juki.131041"] == LIMITS


def test_the_request_is_encoded_as_the_protocol_says() -> None:
    """AlterClientQuotas, version 0: entries of entity and changes; then whether it is only a test."""

    def text(value: str) -> bytes:
        return struct.pack(">h", len(value)) + value.encode()

    one = struct.pack(">i", 1)
    change = text("producer_byte_rate") + struct.pack(">d?", 1e6, False)
    expected = one + one + text("user") + text("juki.131041") + one + change + b"\0"
    request = quotas.AlterClientQuotasRequest({"juki.131041": {"producer_byte_rate": 1e6}})
    assert request.prepare({49: (0, 1)}).encode() == expected


class Brokers:
    """Brokers with these quotas, which answer every change with `error_code`."""

    def __init__(self, current: dict[str, dict[str, float]], error_code: int = 0) -> None:
        self.current, self.error_code, self.changed = current, error_code, list[list[str]]()

    def get_random_node(self) -> int:
        """Return the only broker."""
        return 1

    async def send(self, node: int, request: Any) -> Any:
        """Answer a request."""
        entries = request.prepare({48: (0, 1), 49: (0, 1)}).to_object()
        if request.API_KEY == 48:
            known = [([("user", user)], list(values.items())) for user, values in self.current.items()]
            return SimpleNamespace(error_code=0, entries=known)
        users = [entry["entity"][0]["entity_name"] for entry in entries["entries"]]
        self.changed.append(users)
        return SimpleNamespace(entries=[(self.error_code, None, []) for _ in users])


def set_quotas(
    brokers: Brokers, declared: dict[str, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> int:
    monkeypatch.setattr(quotas, "run_requests", lambda _, requests, timeout_s: asyncio.run(requests(brokers)))
    return quotas.set_quotas(None, declared)  # type: ignore[arg-type]


def test_only_quotas_that_differ_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """In requests of bounded size; what is as declared, or of other users, stays."""
    monkeypatch.setattr(quotas, "USERS_MAX", 2)
    brokers = Brokers(
        {
            "a": LIMITS | {"consumer_byte_rate": 1.0},
            "b": {"producer_byte_rate": 1.0},
            "other": {"producer_byte_rate": 1.0},
        }
    )
    assert set_quotas(brokers, dict.fromkeys("abcd", LIMITS), monkeypatch) == 3
    assert brokers.changed == [["b", "c"], ["d"]]
    brokers.changed.clear()
    assert set_quotas(brokers, {"a": LIMITS}, monkeypatch) == 0
    assert brokers.changed == []


def test_a_rejected_change_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the reason."""
    brokers = Brokers({}, ClusterAuthorizationFailedError.errno)
    with pytest.raises(ApplyError, match="ClusterAuthorizationFailedError"):
        set_quotas(brokers, {"a": LIMITS}, monkeypatch)
