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

LETTER: Final = "LETTER"
PARKED: Final = "PARKED"
#: Longer ones, and those that a text can't hold, are no codes of anybody.
_STRAND_MAX: Final = 512

_LETTERS = "SELECT digest, strand FROM {parked} WHERE kind = 'LETTER' AND partition = ANY(%s)"
_PARKED = "SELECT count(*) FROM {parked} WHERE kind = 'PARKED' AND partition = ANY(%s)"
_CONCERNED = """SELECT record_offset, kind, digest, reason, strand FROM {parked} AS p
WHERE partition = %s AND (digest = %s OR strand IN (
    SELECT strand FROM {parked} WHERE partition = p.partition AND digest = %s))
ORDER BY record_offset"""
#: A letter that is read again, as an offset was set back, waits behind itself: it stays the letter that it is.
_ADD = """INSERT INTO {parked} AS p (partition, record_offset, kind, digest, reason, strand)
SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
ON CONFLICT (partition, record_offset) DO UPDATE SET kind = excluded.kind, digest = excluded.digest,
    reason = excluded.reason, strand = excluded.strand
WHERE NOT (p.kind = 'LETTER' AND excluded.kind = 'PARKED')"""
_REMOVE = "DELETE FROM {parked} WHERE partition = %s AND record_offset = ANY(%s)"
_DO = "INSERT INTO {done} (id, partition) VALUES (%s, %s)"
_HAS_DONE = "SELECT count(*) FROM {done} WHERE id = %s AND partition = %s"


@dataclass(frozen=True)
class Entry:
    """A record set aside. `strand` is what it holds, None where it is nobody's; `digest` names a letter."""

    partition: int
    offset: int
    kind: str
    digest: str = ""
    reason: str = ""
    strand: str | None = None


class Parking:
    """The tables `parked` and `act_done` of one store."""

    def __init__(self, schema: str) -> None:
        parts = {"parked": sql.Identifier(schema, "parked"), "done": sql.Identifier(schema, "act_done")}
        self._letters, self._parked, self._concerned, self._add, self._remove, self._do, self._has_done = (
            sql.SQL(text).format(**parts)
            for text in (_LETTERS, _PARKED, _CONCERNED, _ADD, _REMOVE, _DO, _HAS_DONE)
        )

    def letters(self, connection: Connection[Any], partitions: Collection[int]) -> dict[str, str | None]:
        """The open letters of these partitions by name, each with the strand that it holds."""
        return dict(connection.execute(self._letters, [sorted(partitions)]).fetchall())

    def parked(self, connection: Connection[Any], partitions: Collection[int]) -> int:
        """How many records wait behind letters in these partitions."""
        return int(connection.execute(self._parked, [sorted(partitions)]).fetchall()[0][0])

    def concerned(self, connection: Connection[Any], partition: int, digest: str) -> list[Entry]:
        """The letters of this name and all that is parked behind them, in their order."""
        found = connection.execute(self._concerned, [partition, digest, digest]).fetchall()
        return [Entry(partition, *row) for row in found]

    def add(self, connection: Connection[Any], entries: Sequence[Entry]) -> None:
        """Sets these aside, or again."""
        if entries:
            fields = ("partition", "offset", "kind", "digest", "reason", "strand")
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


def strands_of(domain: Domain, table: pa.Table) -> pa.Array:
    """The person of each record of a domain, in municipal ones at one municipality; null where that is nobody."""
    code = table.column("code")
    strand = (
        pc.binary_join_element_wise(code, table.column("municipality"), "/") if domain.municipal else code
    )
    fits = pc.and_(
        pc.less_equal(pc.binary_length(strand), _STRAND_MAX), pc.invert(pc.match_substring(strand, "\0"))
    )
    return pa.concat_arrays(pc.if_else(fits, strand, None).chunks or [pa.nulls(0, pa.string())])


class Order:
    """Records in their order, each with its strand: which of them wait for one that was, or is to be, set aside."""

    def __init__(self, strands: pa.Array, held: Collection[str]) -> None:
        self._strands, self._held = strands, held
        self._known: list[str | None] | None = None

    def cut(self, bad: Mapping[int, str]) -> tuple[dict[int, str], set[int]]:
        """Of these bad ones those that are letters, and all that waits behind these or behind what is held."""
        if not bad and not self._waiting():
            return {}, set()
        held, letters, behind = set(self._held), dict[int, str](), set[int]()
        for row, strand in enumerate(self._listed()):
            if strand in held:
                behind.add(row)
            elif row in bad:
                letters[row] = bad[row]
                held.update(() if strand is None else (strand,))
        return letters, behind

    def alone(self, rows: Collection[int]) -> bool:
        """Whether no other record has one of these rows' strands. Of one that is nobody's it isn't known."""
        strands = [strand for strand in map(self.of, rows) if strand is not None]
        if len(strands) < len(rows):
            return False
        wanted = pa.array(sorted(set(strands)), pa.string())
        there = pc.sum(pc.is_in(self._strands, value_set=wanted)).as_py() or 0
        return bool(there == len(strands) == len(wanted))

    def of(self, row: int) -> str | None:
        """The strand of a row."""
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
