"""Markers, timeouts and Hypothesis settings of all tests. The kind of a test is the name of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# On a shared machine, the duration of one example is no sign of a defect; each test has its own timeout.
settings.register_profile("mesh", deadline=None)
settings.load_profile("mesh")

KINDS = ("unit", "contract", "property", "integration")
#: The first integration test of a session starts the servers, and may have to download them.
INTEGRATION_TIMEOUT_S = 420
#: confluent-kafka's registry client leaves its sockets to the garbage collector, which may run during any later test.
REGISTRY_SOCKET_WARNINGS = (
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:unclosed <socket:ResourceWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder: with `-m "not integration"` no test can start a server by mistake."""
    tests = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(tests).parts[0]
        if kind in KINDS:
            item.add_marker(kind)
        if kind == "integration" or item.get_closest_marker("integration"):
            _prepare_integration_test(item)


def _prepare_integration_test(item: pytest.Item) -> None:
    for warning in REGISTRY_SOCKET_WARNINGS:
        item.add_marker(pytest.mark.filterwarnings(warning))
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(INTEGRATION_TIMEOUT_S))
