"""A domain's store, statement by statement as the sink and its relay send them, with locks, time-outs and broken lines.

What the statements mean is held by `tests/contract/sink_suite.py`, which the real database passes as well. A statement
that isn't known here raises: the simulation is to be told of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import psycopg
from psycopg import Connection, errors

from connectors.postgres.settings import PostgresSettings
from tests.simulation.host import Host
from tests.simulation.statements import STATEMENTS, Answer, Place, Row, copied_letters, copied_rows
from tests.simulation.virtual_time import VirtualTime


@dataclass
class Database:
    """One domain's tables: committed rows by key. `watch` is told of every commit as it happens."""

    time: VirtualTime
    tables: dict[str, dict[Any, Any]] = field(default_factory=dict)
    locks: dict[Place, Session] = field(default_factory=dict)
    full_until_s: float = 0.0
    numbers: int = 0
    watch: Callable[[Mapping[Place, Any]], None] = lambda changes: None
    #: Whether records have been handed over again by an operator's mistake.
    was_set_back: bool = False
    #: How many of its sinks' next reads bring a few records only: what was applied long ago then stands alone.
    few_reads: int = 0
    #: Rows that it refuses, and whether it says so as they are copied in; else the table itself does.
    refuses: Callable[[Row], bool] = lambda row: False
    refuses_copies: bool = False

    def table(self, name: str) -> dict[Any, Any]:
        """A table's committed rows."""
        return self.tables.setdefault(name, {})

    def number(self) -> int:
        """The next identity; never given twice."""
        self.numbers += 1
        return self.numbers

    def free(self, place: Place) -> bool:
        """Whether nobody has this row locked; who hangs in the midst of a transaction is thrown out."""
        holder = self.locks.get(place)
        if holder is not None and holder.hung:
            holder.broken()
        return place not in self.locks

    def waiting(self, *names: str) -> bool:
        """Whether one of these tables has a row that could be had."""
        return any(self.free((name, key)) for name in names for key in self.table(name))

    def set_back(self, drawn: random.Random) -> None:
        """An operator's mistake: a partition's offset is put back."""
        offsets = self.table("sink_offset")
        behind = sorted(place for place, offset in offsets.items() if offset)
        if behind:
            place = drawn.choice(behind)
            offsets[place] = drawn.randrange(1 + offsets[place] // 2)
            self.was_set_back, self.few_reads = True, 5


class Line:
    """A way to the database from one process (`connectors.postgres.store.Connect`)."""

    def __init__(self, database: Database, host: Host) -> None:
        self.database, self._host = database, host
        self.sessions: list[Session] = []

    def connect(self, name: str, settings: PostgresSettings) -> Connection[Any]:
        """A new session."""
        session = self._host.request("store.connect", lambda: Session(self.database, self._host, settings))
        self.sessions.append(session)
        return cast("Connection[Any]", session)

    def pause(self, seconds: float) -> None:
        """Lets time pass."""
        self._host.meanwhile(seconds)

    def cut(self) -> None:
        """All sessions break; what wasn't committed never happened."""
        for session in self.sessions:
            session.broken()
        self.sessions.clear()


class Session:
    """A session (`psycopg.Connection`, as far as the sink uses it)."""

    def __init__(self, database: Database, host: Host, settings: PostgresSettings) -> None:
        self._database, self._host, self._settings = database, host, settings
        self._writes: dict[Place, Any] = {}
        self._depth = 0
        self._closed = False
        self.begun_s = self._last_s = 0.0
        self._copying, self._patience_s = False, 0.0
        self.stages: dict[str, list[Row]] = {}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, or a savepoint in one."""
        kept, stages = dict(self._writes), {name: list(rows) for name, rows in self.stages.items()}
        self._depth += 1
        if self._depth == 1:
            self.begun_s = self._last_s = self._database.time.now_s
            self._patience_s = 0.0
        try:
            yield
        except BaseException:
            self._depth -= 1
            self._writes, self.stages = kept, stages
            if self._depth == 0:
                self._over()
            raise
        self._depth -= 1
        if self._depth == 0:
            self._host.request("store.commit", self._commit)

    def execute(self, query: Any, values: Sequence[Any] = (), *, binary: bool = False) -> Answer:
        """One statement."""
        text = " ".join((query if isinstance(query, str) else query.as_string()).split())
        return self._host.request("store.statement", lambda: self._run(text, values))

    @contextmanager
    def cursor(self) -> Iterator[Session]:
        """Itself."""
        yield self

    @contextmanager
    def copy(self, query: Any) -> Iterator[Copy]:
        """Rows into a table."""
        copy = Copy()
        yield copy
        text = " ".join(query.as_string().split())
        self._copying = True
        try:
            self._host.request("store.statement", lambda: self._copied(text, copy))
        finally:
            self._copying = False

    def close(self) -> None:
        """Ends the session."""
        self.broken()

    def broken(self) -> None:
        """The line is cut."""
        self._closed = True
        self._over()

    @property
    def hung(self) -> bool:
        """Whether the server would have ended it by now: it says nothing in the midst of a transaction."""
        now_s, limits = self._database.time.now_s, self._settings
        if self._copying:
            # It waits for more of what is copied, and no limit ends that.
            return False
        if self._patience_s:
            return now_s - self._last_s > self._patience_s
        return (
            now_s - self._last_s > limits.idle_transaction_timeout_s
            or now_s - self.begun_s > limits.transaction_timeout_s
        )

    def value(self, place: Place) -> Any:
        """A row as this transaction sees it; None where there is none."""
        if place in self._writes:
            return self._writes[place]
        return self._database.table(place[0]).get(place[1])

    def write(self, place: Place, value: Any) -> None:
        """Sets or (None) deletes a row."""
        self._writes[place] = value

    def rows(self, table: str) -> list[Any]:
        """Keys of a table's rows, as this transaction sees it."""
        keys = {*self._database.table(table), *(key for name, key in self._writes if name == table)}
        return [key for key in sorted(keys) if self.value((table, key)) is not None]

    def lock(self, place: Place, *, skip: bool = False) -> bool:
        """Has a row to itself until the transaction ends; waits for others, but where they are to be skipped."""
        locks = self._database.locks
        if not self._free(place):
            if skip:
                return False
            self._host.wait(lambda: self._free(place), self._settings.lock_timeout_s)
            if not self._free(place):
                raise errors.LockNotAvailable
        locks[place] = self
        return True

    def insert(self, table: str, value: Any) -> None:
        """A row with an identity."""
        self.write((table, self._database.number()), value)

    def be_patient(self, seconds: float) -> None:
        """As told."""
        self._patience_s = seconds

    def end_hung(self, seconds: float) -> int:
        """Those that hold something: of others nobody would know."""
        now_s = self._database.time.now_s
        hung = {each for each in self._database.locks.values() if now_s - each.begun_s > seconds} - {self}
        for each in hung:
            each.broken()
        return len(hung)

    def refuses(self, row: Row, *, copied: bool) -> bool:
        """Whether this row is refused, as it is copied in or by the table itself."""
        return copied == self._database.refuses_copies and self._database.refuses(row)

    def now(self) -> datetime:
        """The server's clock."""
        return datetime.fromtimestamp(self._database.time.now_s, UTC)

    def _free(self, place: Place) -> bool:
        return self._database.free(place) or self._database.locks[place] is self

    def _alive(self) -> None:
        if self._depth and self.hung:
            self.broken()
            raise errors.IdleInTransactionSessionTimeout
        if self._closed:
            raise psycopg.OperationalError("the connection is closed")
        if self._database.time.now_s < self._database.full_until_s:
            raise errors.DiskFull
        self._last_s = self._database.time.now_s

    def _run(self, text: str, values: Sequence[Any]) -> Answer:
        self._alive()
        for pattern, meaning in STATEMENTS.items():
            if found := pattern.fullmatch(text):
                answer = meaning(self, found, values)
                self._last_s = self._database.time.now_s
                return answer
        raise NotImplementedError(f"the simulated database doesn't know: {text}")

    def _copied(self, text: str, copy: Copy) -> None:
        self._alive()
        if not (copied_rows(self, text, copy.text) or copied_letters(self, text, copy.rows)):
            raise NotImplementedError(f"the simulated database doesn't know: {text}")

    def _commit(self) -> None:
        self._depth = 1
        try:
            self._alive()
            for (table, key), value in self._writes.items():
                if value is None:
                    self._database.table(table).pop(key, None)
                else:
                    self._database.table(table)[key] = value
            self._database.watch(self._writes)
        finally:
            self._depth = 0
            self._over()

    def _over(self) -> None:
        self._writes = {}
        self.stages = {name: [] for name in self.stages}
        for place in [place for place, holder in self._database.locks.items() if holder is self]:
            del self._database.locks[place]


class Copy:
    """What is copied in."""

    def __init__(self) -> None:
        self.text = b""
        self.rows: list[tuple[Any, ...]] = []

    def write(self, content: bytes) -> None:
        """Some text."""
        self.text += content

    def set_types(self, types: Sequence[str]) -> None:
        """Binary rows follow."""

    def write_row(self, row: Sequence[Any]) -> None:
        """One row."""
        self.rows.append(tuple(row))
