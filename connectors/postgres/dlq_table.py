"""The dead-letter queue of a sink, stored with the rows: dead letters, and later records of the same person.

It has record positions only, no content: the domain's topic has that. Every transaction that writes here locks the
partition's offset, so a worker that blocks records and one that retries them cannot overtake each other.
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
#: Longest ordering key in bytes. A longer code, or one with a NUL (which type text does not allow), can be no
#: person's code, so its record has no ordering key.
_ORDERING_KEY_BYTES_MAX: Final = 512

_SELECT_DEAD_LETTERS = (
    "SELECT digest, ordering_key FROM {dlq_entry} WHERE kind = 'DEAD_LETTER' AND partition = ANY(%s)"
)
_COUNT_BLOCKED = "SELECT count(*) FROM {dlq_entry} WHERE kind = 'BLOCKED' AND partition = ANY(%s)"
_SELECT_AFFECTED = """SELECT record_offset, kind, digest, reason, ordering_key FROM {dlq_entry} AS p
WHERE partition = %s AND (digest = %s OR ordering_key IN (
    SELECT ordering_key FROM {dlq_entry} WHERE partition = p.partition AND digest = %s))
ORDER BY record_offset"""
#: A dead letter that is read again, as an offset was set back, would be blocked behind itself: it stays a dead letter.
_ADD = """INSERT INTO {dlq_entry} AS p (partition, record_offset, kind, digest, reason, ordering_key)
SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT (partition, record_offset) DO UPDATE SET kind = excluded.kind, digest = excluded.digest,
    reason = excluded.reason, ordering_key = excluded.ordering_key
WHERE NOT (p.kind = 'DEAD_LETTER' AND excluded.kind = 'BLOCKED')"""
_REMOVE = "DELETE FROM {dlq_entry} WHERE partition = %s AND record_offset = ANY(%s)"
_MARK_DONE = "INSERT INTO {commands_done} (id, partition) VALUES (%s, %s)"
_IS_DONE = "SELECT count(*) FROM {commands_done} WHERE id = %s AND partition = %s"


@dataclass(frozen=True)
class DlqRow:
    """A dead letter (with its id, `digest`) or a blocked record, and the ordering key that it blocks, if it has one."""

    partition: int
    offset: int
    kind: str
    digest: str = ""
    reason: str = ""
    ordering_key: str | None = None


class DlqTable:
    """The tables `dlq_entry` and `dlq_command_done` of one store."""

    def __init__(self, schema: str) -> None:
        tables = {
            "dlq_entry": sql.Identifier(schema, "dlq_entry"),
            "commands_done": sql.Identifier(schema, "dlq_command_done"),
        }
        (
            self._select_dead_letters,
            self._count_blocked,
            self._select_affected,
            self._add,
            self._remove,
            self._mark_done,
            self._is_done,
        ) = (
            sql.SQL(text).format(**tables)
            for text in (
                _SELECT_DEAD_LETTERS,
                _COUNT_BLOCKED,
                _SELECT_AFFECTED,
                _ADD,
                _REMOVE,
                _MARK_DONE,
                _IS_DONE,
            )
        )

    def dead_letters(self, connection: Connection[Any], partitions: Collection[int]) -> dict[str, str | None]:
        """Return the ids of the open dead letters of these partitions, each with the ordering key that it blocks."""
        return dict(connection.execute(self._select_dead_letters, [sorted(partitions)]).fetchall())

    def count_blocked(self, connection: Connection[Any], partitions: Collection[int]) -> int:
        """Return the number of blocked records in these partitions."""
        return int(connection.execute(self._count_blocked, [sorted(partitions)]).fetchall()[0][0])

    def affected_rows(self, connection: Connection[Any], partition: int, dead_letter_id: str) -> list[DlqRow]:
        """Return the dead letters with this id and the records blocked behind them, by offset."""
        rows = connection.execute(
            self._select_affected, [partition, dead_letter_id, dead_letter_id]
        ).fetchall()
        return [DlqRow(partition, *row) for row in rows]

    def add(self, connection: Connection[Any], rows: Sequence[DlqRow]) -> None:
        """Insert these rows, or replace them."""
        if rows:
            fields = ("partition", "offset", "kind", "digest", "reason", "ordering_key")
            columns = [[getattr(row, name) for row in rows] for name in fields]
            connection.execute(self._add, columns)

    def remove(self, connection: Connection[Any], partition: int, offsets: Sequence[int]) -> None:
        """Delete the rows of these offsets."""
        connection.execute(self._remove, [partition, list(offsets)])

    def mark_done(self, connection: Connection[Any], command_id: str, partition: int) -> None:
        """Store that a command was handled in this partition."""
        connection.execute(self._mark_done, [command_id, partition])

    def is_done(self, connection: Connection[Any], command_id: str, partition: int) -> bool:
        """Return whether a command was handled in this partition."""
        return bool(connection.execute(self._is_done, [command_id, partition]).fetchall()[0][0])


def person_keys(domain: Domain, table: pa.Table) -> pa.Array:
    """Return the ordering key of each record: its person, in municipal domains with the municipality; null for none."""
    code = table.column("code")
    ordering_key = (
        pc.binary_join_element_wise(code, table.column("municipality"), "/") if domain.municipal else code
    )
    fits = pc.and_(
        pc.less_equal(pc.binary_length(ordering_key), _ORDERING_KEY_BYTES_MAX),
        pc.invert(pc.match_substring(ordering_key, "\0")),
    )
    return pa.concat_arrays(pc.if_else(fits, ordering_key, None).chunks or [pa.nulls(0, pa.string())])


class RowOrdering:
    """Rows of a batch in their order, each with its ordering key, and the keys that earlier dead letters block."""

    def __init__(self, ordering_keys: pa.Array, blocked_keys: Collection[str]) -> None:
        self._ordering_keys, self._blocked_keys = ordering_keys, blocked_keys
        self._keys: list[str | None] | None = None

    def split(self, invalid: Mapping[int, str]) -> tuple[dict[int, str], set[int]]:
        """Return the rows that are dead letters, with their reasons, and the rows that are blocked.

        `invalid` are the reasons of invalid rows. A row whose key is blocked, by an earlier dead letter or by an
        invalid row before it, is blocked, whether it is invalid or not.
        """
        if not invalid and not self._has_blocked_rows():
            return {}, set()
        blocked_keys, dead_letters, blocked = set(self._blocked_keys), dict[int, str](), set[int]()
        for row, ordering_key in enumerate(self._key_list()):
            if ordering_key in blocked_keys:
                blocked.add(row)
            elif row in invalid:
                dead_letters[row] = invalid[row]
                blocked_keys.update(() if ordering_key is None else (ordering_key,))
        return dead_letters, blocked

    def have_unshared_keys(self, rows: Collection[int]) -> bool:
        """Return whether each of these rows is the only row of the batch with its ordering key.

        Return False if one of them has no key: its person is not known.
        """
        keys = [key for key in map(self.key_of, rows) if key is not None]
        if len(keys) < len(rows):
            return False
        distinct_keys = pa.array(sorted(set(keys)), pa.string())
        rows_with_keys = pc.sum(pc.is_in(self._ordering_keys, value_set=distinct_keys)).as_py() or 0
        return bool(rows_with_keys == len(keys) == len(distinct_keys))

    def key_of(self, row: int) -> str | None:
        """Return the ordering key of a row."""
        return self._key_list()[row]

    def _has_blocked_rows(self) -> bool:
        if not self._blocked_keys:
            return False
        blocked_keys = pa.array(sorted(self._blocked_keys), pa.string())
        return bool(pc.any(pc.is_in(self._ordering_keys, value_set=blocked_keys)).as_py())

    def _key_list(self) -> list[str | None]:
        # Converted only if needed: most batches have no invalid and no blocked row.
        if self._keys is None:
            self._keys = self._ordering_keys.to_pylist()
        return self._keys
