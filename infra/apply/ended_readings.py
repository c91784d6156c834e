"""Readings that are taken away, in two releases: first the rows go, then the declaration.

A reading that is declared with `ended=True` has no rows: when that is adopted, everybody's are deleted. Only then may
the declaration go, as nobody could delete rows of a table that isn't declared. The empty table stays in the store.
"""

from __future__ import annotations

from infra.apply.applied_declarations import applied_declarations, declared_readings
from infra.apply.installation import Installation
from infra.apply.schemas_and_stores import tables_with_rows
from infra.apply.topics_and_acls import ApplyError
from infra.environment import Environment
from infra.monitoring.adoption_progress import adoption_progress


def check_taken_away(environment: Environment, installation: Installation) -> None:
    """Raise ApplyError where a reading that was applied is no longer declared, but may have rows."""
    declared = declared_readings()
    gone = {
        name: e for name, e in applied_declarations(installation).readings.items() if name not in declared
    }
    if not gone:
        return
    for name, has_ended in gone.items():
        if not has_ended:
            raise ApplyError(
                f"reading {name} is not declared any more, but its rows are not taken away: "
                "declare it with ended=True and apply that first"
            )
    progress = adoption_progress(environment, installation)
    if not progress.is_complete:
        raise ApplyError(
            f"reading {next(iter(gone))} is not declared any more, but its end is not adopted yet ({progress}): "
            "leave it declared with ended=True until it is"
        )
    for name in tables_with_rows(environment, gone):
        raise ApplyError(
            f"reading {name} is not declared any more, but its table still has rows: "
            "leave it declared with ended=True until `mesh wait --idle` returns"
        )
