"""The action after an error of the database, and its description without content: PostgreSQL's own texts show rows.

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
_TIMED_OUT: Final = ("57014", "25P04")

#: Parts of libpq's message if the server rejects a login. The error has no SQLSTATE (28P01, 28000, 42501), only the
#: server's text. The error of a server with messages in another language is retried like a lost connection.
_LOGIN_REJECTED: Final = (
    "authentication failed",
    "is not permitted to log in",
    "no pg_hba.conf entry",
    "permission denied for database",
)


class SqlErrorAction(Enum):
    """REJECTED: rows are invalid. RETRY: a later attempt may succeed. STOP: an operator has to act."""

    REJECTED = "REJECTED"
    RETRY = "RETRY"
    STOP = "STOP"


def sql_error_action(error: psycopg.Error) -> SqlErrorAction:
    """Return the action after an error, by its SQLSTATE.

    Without SQLSTATE the connection broke, the login was rejected, or the driver could not write a value.
    """
    state = error.sqlstate
    if state is None:
        if _is_login_rejected(error):
            return SqlErrorAction.STOP
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
            return SqlErrorAction.RETRY
        is_data_error = isinstance(error, (psycopg.DataError, psycopg.IntegrityError))
        return SqlErrorAction.REJECTED if is_data_error else SqlErrorAction.STOP
    if state.startswith(_REJECTED):
        return SqlErrorAction.REJECTED
    return SqlErrorAction.RETRY if state.startswith(_RETRIED) else SqlErrorAction.STOP


def safe_description(error: psycopg.Error) -> str:
    """Return SQLSTATE and constraint name: the only parts of an error that show no row."""
    if _is_login_rejected(error):
        return "login rejected"
    constraint = error.diag.constraint_name
    state = error.sqlstate or type(error).__name__
    return f"{state} {constraint}" if constraint else state


def connector_error(error: psycopg.Error) -> ConnectorError:
    """Return the connectors' error for an error of the database that no row caused."""
    transient = TransactionTimeoutError if error.sqlstate in _TIMED_OUT else StoreUnavailableError
    error_class = transient if sql_error_action(error) is SqlErrorAction.RETRY else StoreSchemaError
    return error_class(f"the store reports {safe_description(error)}")


def _is_login_rejected(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.OperationalError) and any(text in str(error) for text in _LOGIN_REJECTED)
