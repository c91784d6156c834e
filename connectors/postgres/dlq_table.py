"""What a sink has set aside, kept in the store: dead letters, and the later records of the same person behind them.

Only places are kept, no content: the domain's topic has it. Whoever writes here holds the partition's offset in the
same transaction, so that parking and retrying can't overtake each other between two workers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from schemas.systems import Domain

DEAD_LETTER: Final = "DEAD_LETTER"
BLOCKED: Final = "BLOCKED"
#: Longer ones, and those that a text can't hold, are no codes of anybody.
_ORDERING_KEY_MAX: Final = 512

_SELECT_DEAD_LETTERS = (
    "SELECT digest, ordering_key FROM {dlq_entry} WHERE kind = 'DEAD_LETTER' AND partition = ANY(%s)"
)
_DLQ_ENTRY = "SELECT count(*) FROM {dlq_entry} WHERE kind = 'BLOCKED' AND partition = ANY(%s)"
_SELECT_AFFECTED = """SELECT record_offset, kind, digest, reason, ordering_key FROM {dlq_entry} AS p
WHERE partition = %s AND (digest = %s OR ordering_key IN (
    SELECT ordering_key FROM {dlq_entry} WHERE partition = p.partition AND digest = %s))
ORDER BY record_offset"""
#: A letter that is read again, as an offset was set back, waits behind itself: it stays the letter that it is.
_ADD = """INSERT INTO {dlq_entry} AS p (partition, record_offset, kind, digest, reason, ordering_key)
SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT (partition, record_offset) DO UPDATE SET kind = excluded.kind, digest = excluded.digest,
    reason = excluded.reason, ordering_key = excluded.ordering_key
WHERE NOT (p.kind = 'DEAD_LETTER' AND excluded.kind = 'BLOCKED')"""
_REMOVE = "DELETE FROM {dlq_entry} WHERE partition = %s AND record_offset = ANY(%s)"
_DO = "INSERT INTO {done} (id, partition) VALUES (%s, %s)"
_HAS_DONE = "SELECT count(*) FROM {done} WHERE id = %s AND partition = %s"


@dataclass(frozen=True)
class DlqRow:
    """A record set aside. `ordering_key` is what it holds, None where it is nobody's; `digest` names a letter."""

    partition: int
    offset: int
    kind: str
    digest: str = ""
    reason: str = ""
    ordering_key: str | None = None


class DlqTable:
    """The tables `parked` and `act_done` of one store."""

    def __init__(self, schema: str) -> None:
        parts = {
            "dlq_entry": sql.Identifier(schema, "dlq_entry"),
            "done": sql.Identifier(schema, "dlq_command_done"),
        }
        self._letters, self._parked, self._concerned, self._add, self._remove, self._do, self._has_done = (
            sql.SQL(text).format(**parts)
            for text in (_SELECT_DEAD_LETTERS, _DLQ_ENTRY, _SELECT_AFFECTED, _ADD, _REMOVE, _DO, _HAS_DONE)
        )

    def dead_letters(self, connection: Connection[Any], partitions: Collection[int]) -> dict[str, str | None]:
        """The open letters of these partitions by name, each with the ordering_key that it holds."""
        return dict(connection.execute(self._letters, [sorted(partitions)]).fetchall())

    def parked(self, connection: Connection[Any], partitions: Collection[int]) -> int:
        """How many records wait behind letters in these partitions."""
        return int(connection.execute(self._parked, [sorted(partitions)]).fetchall()[0][0])

    def concerned(self, connection: Connection[Any], partition: int, digest: str) -> list[DlqRow]:
        """The letters of this name and all that is parked behind them, in their order."""
        found = connection.execute(self._concerned, [partition, digest, digest]).fetchall()
        return [DlqRow(partition, *row) for row in found]

    def add(self, connection: Connection[Any], entries: Sequence[DlqRow]) -> None:
        """Sets these aside, or again."""
        if entries:
            fields = ("partition", "offset", "kind", "digest", "reason", "ordering_key")
            columns = [[getattr(entry, name) for entry in entries] for name in fields]
            connection.execute(self._add, columns)

    def remove(self, connection: Connection[Any], partition: int, offsets: Sequence[int]) -> None:
        """Forgets these."""
        connection.execute(self._remove, [partition, list(offsets)])

    def do(self, connection: Connection[Any], act_id: str, partition: int) -> None:
        """Remembers that an act was done."""
        connection.execute(self._do, [act_id, partition])

    def has_done(self, connection: Connection[Any], act_id: str, partition: int) -> bool:
        """Whether it was."""
        return bool(connection.execute(self._has_done, [act_id, partition]).fetchall()[0][0])


def person_keys(domain: Domain, table: pa.Table) -> pa.Array:
    """The person of each record of a domain, in municipal ones at one municipality; null where that is nobody."""
    code = table.column("code")
    ordering_key = (
        pc.binary_join_element_wise(code, table.column("municipality"), "/") if domain.municipal else code
    )
    fits = pc.and_(
        pc.less_equal(pc.binary_length(ordering_key), _ORDERING_KEY_MAX),
        pc.invert(pc.match_substring(ordering_key, "\0")),
    )
    return pa.concat_arrays(pc.if_else(fits, ordering_key, None).chunks or [pa.nulls(0, pa.string())])


class RowOrdering:
    """Records in their order, each with its ordering_key: which of them wait for one that was, or is to be, set aside."""

    def __init__(self, strands: pa.Array, held: Collection[str]) -> None:
        self._strands, self._held = strands, held
        self._known: list[str | None] | None = None

    def split(self, bad: Mapping[int, str]) -> tuple[dict[int, str], set[int]]:
        """Of these bad ones those that are letters, and all that waits behind these or behind what is held."""
        if not bad and not self._waiting():
            return {}, set()
        held, letters, behind = set(self._held), dict[int, str](), set[int]()
        for row, ordering_key in enumerate(self._listed()):
            if ordering_key in held:
                behind.add(row)
            elif row in bad:
                letters[row] = bad[row]
                held.update(() if ordering_key is None else (ordering_key,))
        return letters, behind

    def alone(self, rows: Collection[int]) -> bool:
        """Whether no other record has one of these rows' strands. Of one that is nobody's it isn't known."""
        strands = [ordering_key for ordering_key in map(self.of, rows) if ordering_key is not None]
        if len(strands) < len(rows):
            return False
        wanted = pa.array(sorted(set(strands)), pa.string())
        there = pc.sum(pc.is_in(self._strands, value_set=wanted)).as_py() or 0
        return bool(there == len(strands) == len(wanted))

    def of(self, row: int) -> str | None:
        """The ordering_key of a row."""
        return self._listed()[row]

    def _waiting(self) -> bool:
        if not self._held:
            return False
        return bool(
            pc.any(pc.is_in(self._strands, value_set=pa.array(sorted(self._held), pa.string()))).as_py()
        )

    def _listed(self) -> list[str | None]:
        if self._known is None:
            self._known = self._strands.to_pylist()
        return self._known
