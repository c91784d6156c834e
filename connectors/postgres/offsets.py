"""Offsets of a sink's input, kept in the store, and the fence that they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from psycopg import Connection, sql

from connectors.errors import SinkFencedError

_MAKE = """INSERT INTO {table} (topic, partition, next_offset)
SELECT %s, partition, 0 FROM unnest(%s::integer[]) AS partition ON CONFLICT DO NOTHING"""
_READ = "SELECT partition, next_offset FROM {table} WHERE topic = %s AND partition = ANY(%s)"
_LOCK = "SELECT next_offset FROM {table} WHERE topic = %s AND partition = %s FOR UPDATE"
_ADVANCE = "UPDATE {table} SET next_offset = %s WHERE topic = %s AND partition = %s AND next_offset = %s"


class Offsets:
    """The offsets of one topic in one schema."""

    def __init__(self, schema: str, topic: str) -> None:
        table = sql.Identifier(schema, "sink_offset")
        self._topic = topic
        self._make, self._read, self._lock, self._advance = (
            sql.SQL(text).format(table=table) for text in (_MAKE, _READ, _LOCK, _ADVANCE)
        )

    def load_or_create(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        """What is stored of these partitions; 0, from now on, for those that nothing is known of."""
        connection.execute(self._make, [self._topic, sorted(partitions)])
        return self.stored(connection, partitions)

    def stored(self, connection: Connection[Any], partitions: Collection[int]) -> dict[int, int]:
        """What is stored of these partitions."""
        return dict(connection.execute(self._read, [self._topic, sorted(partitions)]).fetchall())

    def lock(self, connection: Connection[Any], partition: int, started: int) -> None:
        """Keeps every other sink from this partition until the transaction ends, and leaves its offset as it is.

        FencedError where it isn't where this sink started.
        """
        found = connection.execute(self._lock, [self._topic, partition]).fetchall()
        if found != [(started,)]:
            raise SinkFencedError("another sink committed offsets of this partition")

    def advance(
        self, connection: Connection[Any], started: Mapping[int, int], wanted: Mapping[int, int]
    ) -> bool:
        """Moves the offsets on, and keeps every other sink from doing so until the transaction ends.

        False where all of them are already as wanted: this very batch was committed before. FencedError where any is
        neither as wanted nor where this sink started.
        """
        ahead = sorted(partition for partition, offset in wanted.items() if offset != started[partition])
        moved = [partition for partition in ahead if self._moved(connection, partition, started, wanted)]
        if moved == ahead:
            return True
        found = self.stored(connection, ahead)
        if not moved and all(found.get(partition) == wanted[partition] for partition in ahead):
            return False
        raise SinkFencedError("another sink committed offsets of these partitions")

    def _moved(
        self,
        connection: Connection[Any],
        partition: int,
        started: Mapping[int, int],
        wanted: Mapping[int, int],
    ) -> bool:
        values = [wanted[partition], self._topic, partition, started[partition]]
        return connection.execute(self._advance, values).rowcount == 1
