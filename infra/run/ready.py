"""Workers in the background, waited for until each is in its group."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient

from infra.apply.installation import Installation
from infra.environment import Environment
from infra.local.kafka import ADMIN
from infra.look.groups import ready
from infra.run import background
from infra.run.slots import slots
from infra.run.supervisor import supervised

READY_TIMEOUT_S = 120.0


def start_workers(
    environment: Environment, installation: Installation, workers: int = 1, steps: tuple[str, ...] = ()
) -> None:
    """Have workers running in the background, those of before where some are; return when all are in their groups."""
    found = supervised(installation)
    if found is None:
        background.start(installation, steps, workers)
    chosen = found.slots if found else slots(steps, workers)
    admin = AdminClient({**environment.kafka(ADMIN), "log_level": "2"})
    background.wait_ready(installation, chosen, lambda: ready(admin, chosen), READY_TIMEOUT_S)
