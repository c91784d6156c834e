"""Offsets of a sink's input, stored with the rows; they fence a sink that another sink has replaced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from psycopg import Connection, sql

from connectors.errors import SinkFencedError

_MAKE = """INSERT INTO {table} (topic, partition, next_offset)
SELECT %s, partition, 0 FROM unnest(%s::integer[]) AS partition ON CONFLICT DO NOTHING"""
_READ = "SELECT partition, next_offset FROM {table} WHERE topic = %s AND partition = ANY(%s)"
_LOCK = "SELECT next_offset FROM {table} WHERE topic = %s AND partition = %s FOR UPDATE"
_RAISE = """INSERT INTO {table} AS o (topic, partition, next_offset) VALUES (%s, %s, %s)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
WHERE o.next_offset < excluded.next_offset"""
_ADVANCE = "UPDATE {table} SET next_offset = %s WHERE topic = %s AND partition = %s AND next_offset = %s"


class Offsets:
    """The stored offsets of one topic in one schema."""

    def __init__(self, schema: str, topic: str) -> None:
        table = sql.Identifier(schema, "sink_offset")
        self._topic = topic
        self._make, self._read, self._lock, self._raise, self._advance = (
            sql.SQL(text).format(table=table) for text in (_MAKE, _READ, _LOCK, _RAISE, _ADVANCE)
        )

    def load_or_create(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        """Return the stored offsets of these partitions; store 0 for those that have none."""
        connection.execute(self._make, [self._topic, sorted(partitions)])
        return self.stored(connection, partitions)

    def stored(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        """Return the stored offsets of these partitions."""
        return dict(connection.execute(self._read, [self._topic, sorted(partitions)]).fetchall())

    def lock(self, connection: Connection[Any], partition: int, started: int) -> None:
        """Lock the offset of this partition against other sinks until the transaction ends, and leave it unchanged.

        Raise SinkFencedError if it is not the offset that this sink started from.
        """
        rows = connection.execute(self._lock, [self._topic, partition]).fetchall()
        if rows != [(started,)]:
            raise SinkFencedError("another sink committed offsets of this partition")

    def raise_to(self, connection: Connection[Any], next_offsets: Mapping[int, int]) -> None:
        """Store offsets that are higher than the stored ones, for records that several workers may apply."""
        for number, offset in sorted(next_offsets.items()):
            connection.execute(self._raise, [self._topic, number, offset])

    def advance(
        self, connection: Connection[Any], started: Mapping[int, int], next_offsets: Mapping[int, int]
    ) -> bool:
        """Advance offsets from `started` to `next_offsets`, and lock them until the transaction ends.

        Return False if all of them have the next value already: this batch was committed before, and only the answer
        was lost. Raise SinkFencedError if any has neither value.
        """
        changed = sorted(number for number, offset in next_offsets.items() if offset != started[number])
        advanced = [
            number
            for number in changed
            if self._advance_one(connection, number, started[number], next_offsets[number])
        ]
        if advanced == changed:
            return True
        stored = self.stored(connection, changed)
        if not advanced and all(stored.get(number) == next_offsets[number] for number in changed):
            return False
        raise SinkFencedError("another sink committed offsets of these partitions")

    def _advance_one(
        self, connection: Connection[Any], partition: int, started: int, next_offset: int
    ) -> bool:
        values = [next_offset, self._topic, partition, started]
        return connection.execute(self._advance, values).rowcount == 1
