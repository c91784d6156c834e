"""How far the partitions have adopted the declarations that were applied last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from infra.apply.applied_declarations import applied_number
from infra.apply.installation import ApplySettings, Installation
from infra.coding import codec
from infra.environment import Environment
from infra.triage.records import read_messages
from schemas.topics import state_topic

_STORE: Final = "adoption"


@dataclass(frozen=True)
class AdoptionProgress:
    """The number of the declarations, the partitions that have adopted them, and the persons looked at so far."""

    declarations: int
    partitions: int
    complete: int
    persons: int

    @property
    def is_complete(self) -> bool:
        """Whether every partition has adopted them."""
        return self.complete == self.partitions

    def __str__(self) -> str:
        if self.is_complete:
            return f"declarations {self.declarations} are adopted"
        return (
            f"declarations {self.declarations} are being adopted: {self.complete} of {self.partitions} partitions done,"
            f" {self.persons:,} persons looked at"
        )


def adoption_progress(environment: Environment, installation: Installation) -> AdoptionProgress:
    """Return the progress from the changelog of fan-out. Raise OperatorError where the brokers don't answer."""
    latest = {
        message.partition(): message.value()
        for message in read_messages(environment, [state_topic("fan-out", _STORE)])
        if message.key() == _STORE.encode()
    }
    values = [value for value in latest.values() if value is not None]
    schema = f"state-fan-out-{_STORE}"
    rows = codec(environment, installation).decode(schema, values).table.to_pylist() if values else []
    number = applied_number(installation)
    current = [row for row in rows if row["number"] == number]
    complete = sum(row["complete"] for row in current)
    persons = sum(row["persons"] for row in current)
    return AdoptionProgress(number, ApplySettings().partitions, complete, persons)
