"""A domain's store as the sink and its relay use it, statement by statement, with locks, timeouts and lost connections.

`tests/contract/sink_suite.py` verifies the effect of the statements; the real database passes the same suite. An
unknown statement raises NotImplementedError: it must be added here, never ignored.
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

from connectors.postgres.store import PostgresSettings
from tests.simulation.statements import (
    STATEMENTS,
    Row,
    RowId,
    StatementResult,
    copy_dead_letters,
    copy_rows,
)
from tests.simulation.virtual_time import Host, VirtualTime
from tests.simulation.withdrawal_statements import WITHDRAWAL_STATEMENTS


@dataclass
class SimDatabase:
    """One domain's tables: committed rows by key. `on_commit` is called at every commit."""

    time: VirtualTime
    tables: dict[str, dict[Any, Any]] = field(default_factory=dict)
    locks: dict[RowId, SimSession] = field(default_factory=dict)
    disk_full_until_s: float = 0.0
    identities: int = 0
    on_commit: Callable[[Mapping[RowId, Any]], None] = lambda changes: None
    #: Whether an operator's mistake has made a sink read records again.
    offset_was_reset: bool = False
    #: For how many fetches a sink receives a few records only, so that old records come in batches of their own.
    small_fetches_left: int = 0
    #: Which rows are rejected, and whether on COPY; otherwise the table itself rejects them.
    rejects: Callable[[Row], bool] = lambda row: False
    rejects_on_copy: bool = False

    def table(self, name: str) -> dict[Any, Any]:
        """Return a table's committed rows."""
        return self.tables.setdefault(name, {})

    def next_identity(self) -> int:
        """Return an identity, never the same twice."""
        self.identities += 1
        return self.identities

    def is_unlocked(self, row_id: RowId) -> bool:
        """Return whether no session has locked this row. A session that hangs in a transaction is terminated."""
        holder = self.locks.get(row_id)
        if holder is not None and holder.hung:
            holder.break_connection()
        return row_id not in self.locks

    def has_unlocked_row(self, *names: str) -> bool:
        """Return whether one of these tables has an unlocked row."""
        return any(self.is_unlocked((name, key)) for name in names for key in self.table(name))

    def reset_offset(self, drawn: random.Random) -> None:
        """Set a partition's offset back, as an operator might by mistake."""
        offsets = self.table("sink_offset")
        advanced = sorted(partition for partition, offset in offsets.items() if offset)
        if advanced:
            partition = drawn.choice(advanced)
            offsets[partition] = drawn.randrange(1 + offsets[partition] // 2)
            self.offset_was_reset, self.small_fetches_left = True, 5


class StoreAccess:
    """The access of one process to a database (`connectors.postgres.store.ConnectionFactory`)."""

    def __init__(self, database: SimDatabase, host: Host) -> None:
        self.database, self._host = database, host
        self.sessions: list[SimSession] = []

    def connect(self, name: str, settings: PostgresSettings) -> Connection[Any]:
        """Open a session."""
        session = self._host.request("store.connect", lambda: SimSession(self.database, self._host, settings))
        self.sessions.append(session)
        return cast("Connection[Any]", session)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self._host.let_others_run(seconds)

    def disconnect(self) -> None:
        """Break all sessions; uncommitted changes are lost."""
        for session in self.sessions:
            session.break_connection()
        self.sessions.clear()


class SimSession:
    """A session: the part of `psycopg.Connection` that the sink uses."""

    def __init__(self, database: SimDatabase, host: Host, settings: PostgresSettings) -> None:
        self._database, self._host, self._settings = database, host, settings
        self._writes: dict[RowId, Any] = {}
        self._depth = 0
        self._closed = False
        self.started_s = self._last_activity_s = 0.0
        self._copying, self._silence_limit_s = False, 0.0
        self.stages: dict[str, list[Row]] = {}

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in a transaction, or in a savepoint of one."""
        saved_writes = dict(self._writes)
        saved_stages = {name: list(rows) for name, rows in self.stages.items()}
        self._depth += 1
        if self._depth == 1:
            self.started_s = self._last_activity_s = self._database.time.now_s
            self._silence_limit_s = 0.0
        try:
            yield
        except BaseException:
            self._depth -= 1
            self._writes, self.stages = saved_writes, saved_stages
            if self._depth == 0:
                self._end_transaction()
            raise
        self._depth -= 1
        if self._depth == 0:
            self._host.request("store.commit", self._commit)

    def execute(self, query: Any, values: Sequence[Any] = (), *, binary: bool = False) -> StatementResult:
        """Execute one statement."""
        text = " ".join((query if isinstance(query, str) else query.as_string()).split())
        return self._host.request("store.statement", lambda: self._execute(text, values))

    @contextmanager
    def cursor(self) -> Iterator[SimSession]:
        """Return itself: a cursor has no state of its own here."""
        yield self

    @contextmanager
    def copy(self, query: Any) -> Iterator[SimCopy]:
        """Copy rows into a table when the block ends."""
        copy = SimCopy()
        yield copy
        text = " ".join(query.as_string().split())
        self._copying = True
        try:
            self._host.request("store.statement", lambda: self._copy(text, copy))
        finally:
            self._copying = False

    def close(self) -> None:
        """End the session."""
        self.break_connection()

    def break_connection(self) -> None:
        """Break the connection, and roll back."""
        self._closed = True
        self._end_transaction()

    @property
    def hung(self) -> bool:
        """Whether the server would have terminated it by now, because it is silent in a transaction."""
        now_s, limits = self._database.time.now_s, self._settings
        if self._copying:
            # The server waits for more rows of a COPY without any limit.
            return False
        if self._silence_limit_s:
            return now_s - self._last_activity_s > self._silence_limit_s
        return (
            now_s - self._last_activity_s > limits.idle_transaction_timeout_s
            or now_s - self.started_s > limits.transaction_timeout_s
        )

    def value(self, row_id: RowId) -> Any:
        """Return a row as this transaction sees it; None if it doesn't exist."""
        if row_id in self._writes:
            return self._writes[row_id]
        return self._database.table(row_id[0]).get(row_id[1])

    def write(self, row_id: RowId, value: Any) -> None:
        """Set a row, or delete it (None)."""
        self._writes[row_id] = value

    def rows(self, table: str) -> list[Any]:
        """Return the keys of a table's rows as this transaction sees it."""
        keys = {*self._database.table(table), *(key for name, key in self._writes if name == table)}
        return [key for key in sorted(keys) if self.value((table, key)) is not None]

    def lock(self, row_id: RowId, *, skip: bool = False) -> bool:
        """Lock a row until the transaction ends.

        If another session has locked it, return False (`skip`) or wait. Raise LockNotAvailable after the timeout.
        """
        locks = self._database.locks
        if not self._can_lock(row_id):
            if skip:
                return False
            self._host.wait(lambda: self._can_lock(row_id), self._settings.lock_timeout_s)
            if not self._can_lock(row_id):
                raise errors.LockNotAvailable
        locks[row_id] = self
        return True

    def lock_table(self, table: str, *, exclusive: bool) -> None:
        """Lock a table until the transaction ends. Raise LockNotAvailable after the timeout.

        A lock that isn't exclusive is one on a row that only this session has: it conflicts with the exclusive one.
        """
        if not self._can_lock_table(table, exclusive):
            self._host.wait(lambda: self._can_lock_table(table, exclusive), self._settings.lock_timeout_s)
        if not self._can_lock_table(table, exclusive):
            raise errors.LockNotAvailable
        self._database.locks[f"table {table}", None if exclusive else id(self)] = self

    def insert(self, table: str, value: Any) -> None:
        """Insert a row with a new identity."""
        self.write((table, self._database.next_identity()), value)

    def set_silence_limit(self, seconds: float) -> None:
        """Replace the limits of this transaction by one on its silence."""
        self._silence_limit_s = seconds

    def terminate_hung_sessions(self, seconds: float) -> int:
        """Terminate other sessions whose transaction is older, and return how many. Only those with locks matter."""
        now_s = self._database.time.now_s
        hung = {
            session for session in self._database.locks.values() if now_s - session.started_s > seconds
        } - {self}
        for session in hung:
            session.break_connection()
        return len(hung)

    def rejects(self, row: Row, *, on_copy: bool) -> bool:
        """Return whether this row is rejected, on COPY or by the table itself."""
        return on_copy == self._database.rejects_on_copy and self._database.rejects(row)

    def now(self) -> datetime:
        """Return the time on the server's clock."""
        return datetime.fromtimestamp(self._database.time.now_s, UTC)

    def _can_lock(self, row_id: RowId) -> bool:
        return self._database.is_unlocked(row_id) or self._database.locks[row_id] is self

    def _can_lock_table(self, table: str, exclusive: bool) -> bool:
        locks = self._database.locks
        others = [each for each in locks if each[0] == f"table {table}" and locks[each] is not self]
        conflicting = [each for each in others if exclusive or each[1] is None]
        return all(self._database.is_unlocked(each) for each in conflicting)

    def _check_alive(self) -> None:
        if self._depth and self.hung:
            self.break_connection()
            raise errors.IdleInTransactionSessionTimeout
        if self._closed:
            raise psycopg.OperationalError("the connection is closed")
        if self._database.time.now_s < self._database.disk_full_until_s:
            raise errors.DiskFull
        self._last_activity_s = self._database.time.now_s

    def _execute(self, text: str, values: Sequence[Any]) -> StatementResult:
        self._check_alive()
        for pattern, effect in (*STATEMENTS.items(), *WITHDRAWAL_STATEMENTS.items()):
            if match := pattern.fullmatch(text):
                result = effect(self, match, values)
                self._last_activity_s = self._database.time.now_s
                return result
        raise NotImplementedError(f"the simulated database doesn't know this statement: {text}")

    def _copy(self, text: str, copy: SimCopy) -> None:
        self._check_alive()
        if not (copy_rows(self, text, copy.text) or copy_dead_letters(self, text, copy.rows)):
            raise NotImplementedError(f"the simulated database doesn't know this statement: {text}")

    def _commit(self) -> None:
        self._depth = 1
        try:
            self._check_alive()
            for (table, key), value in self._writes.items():
                if value is None:
                    self._database.table(table).pop(key, None)
                else:
                    self._database.table(table)[key] = value
            self._database.on_commit(self._writes)
        finally:
            self._depth = 0
            self._end_transaction()

    def _end_transaction(self) -> None:
        self._writes = {}
        self.stages = {name: [] for name in self.stages}
        locked = [row_id for row_id, holder in self._database.locks.items() if holder is self]
        for row_id in locked:
            del self._database.locks[row_id]


class SimCopy:
    """The content of one COPY."""

    def __init__(self) -> None:
        self.text = b""
        self.rows: list[tuple[Any, ...]] = []

    def write(self, content: bytes) -> None:
        """Add text."""
        self.text += content

    def set_types(self, types: Sequence[str]) -> None:
        """Do nothing: rows are kept as they are."""

    def write_row(self, row: Sequence[Any]) -> None:
        """Add a row."""
        self.rows.append(tuple(row))
