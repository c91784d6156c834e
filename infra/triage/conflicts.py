"""Conflicts."""

from __future__ import annotations

from infra.environment import Environment
from infra.triage.records import Row, latest, rows
from schemas.codec import Codec
from schemas.topics import CONFLICT


def conflicts(environment: Environment, codec: Codec, withdrawn: bool = False) -> list[Row]:
    """Conflicts that are open, and with `withdrawn` those that passed."""
    found = latest(rows(environment, codec, "conflict", [CONFLICT]), "id")
    chosen = [row for row in found if withdrawn or row["status"] == "OPEN"]
    return sorted(chosen, key=lambda row: (row["effective_on"], row["id"]))
