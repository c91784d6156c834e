"""The servers of the attacks that need some: those of the integration tests."""

from __future__ import annotations

from tests.integration.city.conftest import cluster
from tests.integration.conftest import servers

__all__ = ["cluster", "servers"]
