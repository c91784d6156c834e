"""What holds for all tests: a test's kind is the folder it stands in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes says nothing on a machine that others use too; each test has its own timeout.
settings.register_profile("mesh", deadline=None)
settings.load_profile("mesh")

KINDS = ("unit", "contract", "property", "integration")
#: An integration test may be the first to need the servers, and those may have to be fetched.
INTEGRATION_TIMEOUT_S = 420
#: confluent-kafka's registry client leaves its sockets to the garbage collector, which may come during any later test.
REGISTRY_SOCKETS = (
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning",
    "ignore:unclosed <socket:ResourceWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder, so that `-m "not integration"` never starts a server by somebody's slip."""
    here = Path(__file__).parent
    for item in items:
        kind = item.path.relative_to(here).parts[0]
        if kind in KINDS:
            item.add_marker(kind)
        if kind == "integration":
            _on_servers(item)


def _on_servers(item: pytest.Item) -> None:
    for known in REGISTRY_SOCKETS:
        item.add_marker(pytest.mark.filterwarnings(known))
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(INTEGRATION_TIMEOUT_S))
