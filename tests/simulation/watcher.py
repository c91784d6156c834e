"""Somebody who watches a store all the while: a row never goes back, and nothing is told of twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from connectors.postgres.outbox import unpacked, with_ids
from tests.simulation.postgres import Database
from tests.simulation.statements import Place

#: Tables that a sink keeps for itself.
_OWN = frozenset(
    {
        "sink_offset",
        "deleted_revision",
        "receipt_outbox",
        "dead_letter_outbox",
        "dlq_entry",
        "dlq_command_done",
    }
)


class Watcher:
    """Of one domain's store; `findings` are sentences for whoever has to find out why."""

    def __init__(self, domain: str, database: Database) -> None:
        self._domain, self._database = domain, database
        self._seen: dict[Place, int] = {}
        self.receipts: Counter[str] = Counter()
        self.findings: list[str] = []
        database.watch = self.committed

    def committed(self, changes: Mapping[Place, Any]) -> None:
        """What a commit makes visible."""
        for place, value in changes.items():
            if place[0] == "receipt_outbox":
                self._told(value)
            elif place[0] not in _OWN:
                self._changed(place, value, changes)

    def _changed(self, place: Place, value: Any, changes: Mapping[Place, Any]) -> None:
        before = self._seen.get(place, 0)
        revision = before if value is None else value["revision"]
        if revision < before:
            self.findings.append(f"{self._domain}: a row of {place[0]} went back from {before} to {revision}")
        self._seen[place] = max(before, revision, self._buried(place, changes) if value is None else 0)

    def _buried(self, place: Place, changes: Mapping[Place, Any]) -> int:
        """The newest revision by which a row was deleted."""
        entity = {"person": "'PERSON'", "account": "'ACCOUNT'", "notice": "'MESSAGE'"}[place[0]]
        code = place[1][-1]
        part = place[1][0] if len(place[1]) > 1 else ""
        value = changes.get(("deleted_revision", (entity, code, part)))
        return 0 if value is None else int(value)

    def _told(self, value: Any) -> None:
        if value is not None:
            self.receipts.update(with_ids(unpacked(value[0])).column("id").to_pylist())

    def at_the_end(self) -> list[str]:
        """All that was seen. What an operator had applied again is told again, by right."""
        twice = [id_ for id_, number in self.receipts.items() if number > 1]
        if twice and not self._database.was_set_back:
            self.findings.append(f"{self._domain}: {len(twice)} records were applied twice")
        return self.findings
