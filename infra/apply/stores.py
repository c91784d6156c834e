"""The domains' stores in PostgreSQL, by the sink that writes them."""

from __future__ import annotations

from infra.environment import Environment


def create(environment: Environment, municipalities: list[str]) -> int:
    """Make the stores that are missing, and their logins."""
    return 0
