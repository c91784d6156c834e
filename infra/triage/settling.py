"""Settling of conflicts about registrations: an operator's decision, published as a command on `in.operator`."""

from __future__ import annotations

from typing import Final

from infra.environment import Environment
from infra.errors import OperatorError
from infra.triage.operator_commands import require_reason, submit_command
from infra.triage.records import Row, latest_by, read_rows_with_positions
from schemas.codec import Codec
from schemas.municipalities import is_municipality
from schemas.topics import CONFLICT

#: Kinds of conflicts that are about a registration; their IDs are `registration/<person>/<municipality>/<notice>`.
REGISTRATION_KINDS: Final = ("REGISTERED_TWICE", "REGISTRATION_UNCONFIRMED")


def settle_conflict(
    environment: Environment,
    codec: Codec,
    conflict: str,
    reason: str,
    *,
    registered_in: str | None = None,
) -> None:
    """Publish the decision that the person is registered in a municipality, or take the decision back (None).

    Raise OperatorError where there is no such conflict, it isn't about a registration, or an argument is invalid.
    """
    row = _registration_conflict(environment, codec, conflict)
    require_reason(reason)
    if registered_in is not None and not is_municipality(registered_in):
        raise OperatorError(
            f"--registration {registered_in!r} is not a municipality code (JIS X 0402, 6 digits)"
        )
    if registered_in is None and row["status"] != "SETTLED":
        raise OperatorError(f"conflict {conflict} isn't settled: there is nothing to take back")
    _, person, municipality, notice = conflict.split("/")
    settlement = {
        "person": person,
        "municipality": municipality,
        "notice": notice,
        "registered_in": registered_in or municipality,
        "taken_back": registered_in is None,
        "reason": reason,
    }
    origin = {name: row[f"at_{name}"] for name in ("topic", "partition", "offset")}
    submit_command(environment, codec, {"command": "SETTLE", "origin": origin, "settlement": settlement})


def _registration_conflict(environment: Environment, codec: Codec, conflict: str) -> Row:
    rows = latest_by(read_rows_with_positions(environment, codec, "conflict", [CONFLICT]), "id")
    row = next((row for row in rows if row["id"] == conflict), None)
    if row is None:
        raise OperatorError(f"there is no conflict {conflict!r}: `mesh conflicts list` shows the IDs")
    if row["kind"] not in REGISTRATION_KINDS:
        raise OperatorError(
            f"conflict {conflict} is of kind {row['kind']}: only {' and '.join(REGISTRATION_KINDS)} can be settled"
        )
    return row
