"""A connection to a store that is made again when it breaks, and transactions tried a limited number of times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg
import structlog
from psycopg import Connection

from connectors.errors import TransactionTimeoutError
from connectors.postgres.settings import PostgresSettings
from connectors.postgres.sql_errors import SqlErrorAction, connector_error, safe_description, sql_error_action

log = structlog.get_logger()
T = TypeVar("T")
_LOCKED: Final = "55P03"
#: Sessions of our own role in a transaction that is older than any may be. A client that stands still amidst a COPY is
#: ended by none of the server's limits: its backend waits for more, with the fence in hand.
_END_HUNG: Final = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename = current_user AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(secs => %s)"""
#: How the server finds out that a line was cut without a word: seconds idle, between two questions, and how many.
_KEEP_ALIVE: Final = {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
#: Makes a connection in autocommit, of that name and with the limits of the settings; psycopg.Error: there is none.
Connect = Callable[[str, PostgresSettings], Connection[Any]]


class StoreConnection:
    """One connection of one thread: to the database at `dsn`, or as `dsn` connects; `prepare` is called with each.

    `pause` waits between two attempts; where it says True, somebody wants us to stop, and there is no other attempt.
    """

    def __init__(
        self,
        dsn: str | Connect,
        name: str,
        settings: PostgresSettings,
        prepare: Callable[[Connection[Any]], None] = lambda connection: None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._connect = connecting(dsn) if isinstance(dsn, str) else dsn
        self._name, self._settings = name, settings
        self._prepare, self._pause = prepare, pause
        self._connection: Connection[Any] | None = None

    def transaction(self, work: Callable[[Connection[Any]], T], *, divisible: bool = False) -> T:
        """The result of `work` in a transaction that was committed.

        After an error that may pass it is done again, from the beginning on a new connection, also where the commit
        itself may have taken place: `work` has to find that out. StoreUnavailableError after the last attempt,
        StoreMisfitError at once, and OverdueError where the work is `divisible`: a part may be done in time. Other
        errors of `work` pass through, and nothing is committed.
        """
        locked = False
        for attempt in range(1, self._settings.attempts_max + 1):
            try:
                connection = self._connected()
                if locked:
                    connection.execute(_END_HUNG, [self._settings.transaction_timeout_s])
                with connection.transaction():
                    return work(connection)
            except psycopg.Error as error:
                self.close()
                locked = error.sqlstate == _LOCKED
                told = connector_error(error)
                given_up = attempt == self._settings.attempts_max or (
                    divisible and isinstance(told, TransactionTimeoutError)
                )
                if sql_error_action(error) is not SqlErrorAction.RETRY or given_up:
                    raise told from None
                log.warning("store.retry", store=self._name, error=safe_description(error), attempt=attempt)
                if self._pause(self._pause_s(attempt)) is True:
                    raise told from None
        raise AssertionError("attempts_max is at least 1")

    def close(self) -> None:
        """Lets go of the connection; the next transaction makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _pause_s(self, attempt: int) -> float:
        return min(self._settings.pause_max_s, self._settings.pause_first_s * 2.0 ** (attempt - 1))

    def _connected(self) -> Connection[Any]:
        if self._connection is None:
            connection = self._connect(self._name, self._settings)
            try:
                with connection.transaction():
                    self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def connecting(dsn: str) -> Connect:
    """Connections to a real database, with limits that the server keeps."""

    def connect(name: str, settings: PostgresSettings) -> Connection[Any]:
        limits = {
            "statement_timeout": settings.statement_timeout_s,
            "lock_timeout": settings.lock_timeout_s,
            "transaction_timeout": settings.transaction_timeout_s,
            "idle_in_transaction_session_timeout": settings.idle_transaction_timeout_s,
        }
        given = {name: int(1000 * seconds) for name, seconds in limits.items()} | _KEEP_ALIVE
        options = " ".join(f"-c {name}={value}" for name, value in given.items())
        return psycopg.connect(
            dsn,
            autocommit=True,
            application_name=name,
            connect_timeout=settings.connect_timeout_s,
            tcp_user_timeout=int(1000 * settings.transaction_timeout_s),
            options=options,
        )

    return connect
