"""What an error of the database means, and how it may be told: PostgreSQL's own texts show rows.

Source: PostgreSQL 18, Appendix A, error codes (SQLSTATE).
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import psycopg

from connectors.errors import ConnectorError, StoreSchemaError, StoreUnavailableError, TransactionTimeoutError

#: Data exception, integrity violation, a limit exceeded by a value (a key too long), raised by a trigger, view check.
_REJECTED: Final = ("22", "23", "54", "P0", "44")
#: Connection, transaction rolled back, resources, object in use, operator intervention, system, idle transaction.
_RETRIED: Final = ("08", "40", "53", "55", "57", "58", "25")
#: Cancelled by statement_timeout, ended by transaction_timeout.
_OVERDUE: Final = ("57014", "25P04")

#: What libpq says of a login that the server refuses: it has no SQLSTATE of it (28P01, 28000, 42501), only the server's
#: text. A server of another language is taken as one that is away: tried again, and said less well.
_NOT_LET_IN: Final = (
    "authentication failed",
    "is not permitted to log in",
    "no pg_hba.conf entry",
    "permission denied for database",
)


class SqlErrorAction(Enum):
    """REFUSED: rows are bad. RETRY: it may go well later. STOP: somebody has to act."""

    REJECTED = "REJECTED"
    RETRY = "RETRY"
    STOP = "STOP"


def sql_error_action(error: psycopg.Error) -> SqlErrorAction:
    """By SQLSTATE; without one the connection broke, or the driver could not write a value."""
    state = error.sqlstate
    if state is None:
        if _not_let_in(error):
            return SqlErrorAction.STOP
        broken = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return (
            SqlErrorAction.RETRY
            if broken
            else SqlErrorAction.REJECTED
            if _of_data(error)
            else SqlErrorAction.STOP
        )
    if state.startswith(_REJECTED):
        return SqlErrorAction.REJECTED
    return SqlErrorAction.RETRY if state.startswith(_RETRIED) else SqlErrorAction.STOP


def safe_description(error: psycopg.Error) -> str:
    """SQLSTATE and name of the constraint: all of an error that holds no row."""
    if _not_let_in(error):
        return "not let in"
    constraint = error.diag.constraint_name
    state = error.sqlstate or type(error).__name__
    return f"{state} {constraint}" if constraint else state


def connector_error(error: psycopg.Error) -> ConnectorError:
    """The error of the connector's own tree, for one that isn't the rows' fault."""
    retried = TransactionTimeoutError if error.sqlstate in _OVERDUE else StoreUnavailableError
    kind = retried if sql_error_action(error) is SqlErrorAction.RETRY else StoreSchemaError
    return kind(f"the store answers {safe_description(error)}")


def _not_let_in(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.OperationalError) and any(text in str(error) for text in _NOT_LET_IN)


def _of_data(error: psycopg.Error) -> bool:
    return isinstance(error, (psycopg.DataError, psycopg.IntegrityError))
