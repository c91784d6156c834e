"""The number of workers of a running supervisor: a request in a file, which only that supervisor obeys."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from infra.apply.installation import Installation
from infra.local.home import write_json
from infra.run.slots import Slot


def request_slots(installation: Installation, supervisor_pid: int, slots: Sequence[Slot]) -> None:
    """Request a supervisor to run exactly these slots: it starts the missing and stops the others."""
    requested = [[slot.step, slot.number] for slot in slots]
    write_json(_file(installation), {"supervisor": supervisor_pid, "slots": requested})


def take_request(installation: Installation, supervisor_pid: int) -> list[Slot] | None:
    """Return the slots that were last requested of this supervisor and delete the request; None if there is none."""
    try:
        document = orjson.loads(_file(installation).read_bytes())
    except FileNotFoundError:
        return None
    with suppress(FileNotFoundError):
        _file(installation).unlink()
    # A request that an earlier supervisor has left says nothing to this one.
    is_for_this = document["supervisor"] == supervisor_pid
    return [Slot(step, number) for step, number in document["slots"]] if is_for_this else None


def _file(installation: Installation) -> Path:
    return installation.run_folder / "requested-slots.json"
