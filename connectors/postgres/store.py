"""A connection to a store that reconnects, and transactions that are retried a limited number of times."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Self, TypeVar

import psycopg
import structlog
from psycopg import Connection
from pydantic import BaseModel, Field, model_validator

from connectors.errors import TransactionTimeoutError
from connectors.postgres.sql_errors import SqlErrorAction, connector_error, safe_description, sql_error_action

log = structlog.get_logger()
T = TypeVar("T")
_LOCK_NOT_AVAILABLE: Final = "55P03"
#: Ends the sessions of the sink's own role whose transaction is older than any may be. No limit of the server ends a
#: session whose client stalls during COPY: its backend waits for more data and keeps the lock on the offsets.
_END_HUNG: Final = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename = current_user AND pid <> pg_backend_pid() AND xact_start < now() - make_interval(secs => %s)"""
#: TCP keepalive of the server, by which it detects a connection that broke silently: seconds idle before the first
#: probe, seconds between two probes, and their number.
_KEEP_ALIVE: Final = {"tcp_keepalives_idle": 5, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}


class PostgresSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits of a sink's connection, its transactions and its relay."""

    connect_timeout_s: int = Field(default=10, gt=0, le=60)
    statement_timeout_s: float = Field(default=10, gt=0, le=120)
    #: The server ends a transaction that takes longer, or whose client sends nothing for `idle_transaction_timeout_s`:
    #: a worker that stalls within a transaction keeps the lock on the offsets, and no other worker could continue.
    transaction_timeout_s: float = Field(default=20, gt=0, le=120)
    idle_transaction_timeout_s: float = Field(default=5, gt=0, le=60)
    #: Below `statement_timeout_s`, which would otherwise end the wait first, as if the statement took too long; above
    #: `idle_transaction_timeout_s`, as an idle transaction may keep the lock for that long.
    lock_timeout_s: float = Field(default=8, gt=0, le=60)
    #: Attempts at one transaction, the first included. The pause between them doubles from the first to the longest.
    attempts_max: int = Field(default=8, gt=0, le=100)
    pause_first_s: float = Field(default=0.1, gt=0, le=10)
    pause_max_s: float = Field(default=2, gt=0, le=60)
    #: A dead letter larger than this has only the record position, not the content.
    dead_letter_bytes_max: int = Field(default=900_000, gt=1_024, le=10_000_000)
    #: Outbox rows that one run of the relay publishes; a row has the receipts of one batch.
    relay_rows_max: int = Field(default=20, gt=0, le=1_000)
    delivery_timeout_s: float = Field(default=30, gt=0, le=120)

    @model_validator(mode="after")
    def _check_timeouts(self) -> Self:
        # The limit that ends a statement says whether it waited for a lock or took too long.
        if not self.lock_timeout_s < self.statement_timeout_s:
            raise ValueError("lock_timeout_s must be below statement_timeout_s")
        return self


#: Opens a connection in autocommit mode, with this application name and the limits of the settings, or raises
#: psycopg.Error.
ConnectionFactory = Callable[[str, PostgresSettings], Connection[Any]]


class StoreConnection:
    """A connection of one thread, to the database at `dsn` or opened by a factory that is passed instead.

    `prepare` is called with each new connection. `pause` waits between two attempts; if it returns True, the process
    is to stop, and there is no further attempt.
    """

    def __init__(
        self,
        dsn: str | ConnectionFactory,
        name: str,
        settings: PostgresSettings,
        prepare: Callable[[Connection[Any]], None] = lambda connection: None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._open = connection_factory(dsn) if isinstance(dsn, str) else dsn
        self._name, self._settings = name, settings
        self._prepare, self._pause = prepare, pause
        self._connection: Connection[Any] | None = None

    def transaction(self, work: Callable[[Connection[Any]], T], *, divisible: bool = False) -> T:
        """Run `work` in a transaction, commit it and return the result of `work`.

        After an error that may pass, run it again on a new connection. The commit itself may have succeeded before
        the connection broke: `work` has to detect that. Raise StoreUnavailableError after the last attempt,
        StoreSchemaError at once. Raise TransactionTimeoutError at once if the work is `divisible`: a part of it may
        finish in time. Other errors of `work` propagate, and nothing is committed.
        """
        was_locked = False
        for attempt in range(1, self._settings.attempts_max + 1):
            try:
                connection = self._connect()
                if was_locked:
                    connection.execute(_END_HUNG, [self._settings.transaction_timeout_s])
                with connection.transaction():
                    return work(connection)
            except psycopg.Error as error:
                self.close()
                was_locked = error.sqlstate == _LOCK_NOT_AVAILABLE
                reported = connector_error(error)
                is_last = attempt == self._settings.attempts_max or (
                    divisible and isinstance(reported, TransactionTimeoutError)
                )
                if sql_error_action(error) is not SqlErrorAction.RETRY or is_last:
                    raise reported from None
                log.warning("store.retry", store=self._name, error=safe_description(error), attempt=attempt)
                if self._pause(self._pause_s(attempt)) is True:
                    raise reported from None
        raise AssertionError("attempts_max is at least 1")

    def close(self) -> None:
        """Close the connection; the next transaction opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _pause_s(self, attempt: int) -> float:
        return min(self._settings.pause_max_s, self._settings.pause_first_s * 2.0 ** (attempt - 1))

    def _connect(self) -> Connection[Any]:
        if self._connection is None:
            connection = self._open(self._name, self._settings)
            try:
                with connection.transaction():
                    self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def connection_factory(dsn: str) -> ConnectionFactory:
    """Return a factory of connections to the database at `dsn`, whose limits the server enforces."""

    def connect(name: str, settings: PostgresSettings) -> Connection[Any]:
        return psycopg.connect(dsn, **connection_parameters(name, settings))

    return connect


def connection_parameters(name: str, settings: PostgresSettings) -> dict[str, Any]:
    """Return the arguments of `Connection.connect` besides the conninfo."""
    limits_s = {
        "statement_timeout": settings.statement_timeout_s,
        "lock_timeout": settings.lock_timeout_s,
        "transaction_timeout": settings.transaction_timeout_s,
        "idle_in_transaction_session_timeout": settings.idle_transaction_timeout_s,
    }
    parameters = {limit: int(1000 * seconds) for limit, seconds in limits_s.items()} | _KEEP_ALIVE
    return {
        "autocommit": True,
        "application_name": name,
        "connect_timeout": settings.connect_timeout_s,
        "tcp_user_timeout": int(1000 * settings.transaction_timeout_s),
        "options": " ".join(f"-c {key}={value}" for key, value in parameters.items()),
    }
