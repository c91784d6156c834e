# ruff: noqa: S608 - these expressions recognize statements; they are not sent to any server
"""The effect of the statements that withdraw addresses on a simulated store."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.simulation.statements import (
    OFFSET_NAME,
    STAGE_NAME,
    TABLE_NAME,
    StatementEffect,
    StatementResult,
    StatementSession,
)

_WITHDRAWAL: Final = r'"\w+"\."withdrawal"'
_NULLS: Final = r'(?P<nulls>"\w+" = NULL(, "\w+" = NULL)*)'
_SHOWN: Final = r'\("\w+"\."\w+" IS NOT NULL( OR "\w+"\."\w+" IS NOT NULL)*\)'


def _raise_offset(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    topic, partition, next_offset = values
    row_id = ("sink_offset", (topic, partition))
    session.lock(row_id)
    session.write(row_id, max(next_offset, session.value(row_id) or 0))
    return StatementResult()


def _lock_table(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    session.lock_table(match["table"], exclusive=match["mode"] != "ROW EXCLUSIVE")
    return StatementResult()


def _store_withdrawals(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    for code, revision in zip(*values, strict=True):
        row_id = ("withdrawal", code)
        session.write(row_id, max(revision, session.value(row_id) or 0))
    return StatementResult()


def _nulls(match: re.Match[str]) -> dict[str, None]:
    return dict.fromkeys(re.findall(r'"(\w+)" = NULL', match["nulls"]))


def _withdraw_addresses(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    for key in session.rows(match["table"]):
        row = session.value((match["table"], key))
        if row["code"] in values[0] and row["revision"] <= session.value(("withdrawal", row["code"])):
            session.write((match["table"], key), {**row, **_nulls(match)})
    return StatementResult()


def _withhold_addresses(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    stage = session.stages[match["stage"]]
    for index, row in enumerate(stage):
        if row["revision"] <= (session.value(("withdrawal", row["code"])) or 0):
            stage[index] = {**row, **_nulls(match)}
    return StatementResult()


WITHDRAWAL_STATEMENTS: Final[Mapping[re.Pattern[str], StatementEffect]] = {
    re.compile(pattern): meaning
    for pattern, meaning in {
        rf"INSERT INTO {OFFSET_NAME} AS o \(topic, partition, next_offset\) VALUES \(%s, %s, %s\)"
        r" ON CONFLICT \(topic, partition\) DO UPDATE SET next_offset = excluded\.next_offset"
        r" WHERE o\.next_offset < excluded\.next_offset": _raise_offset,
        rf"LOCK TABLE {TABLE_NAME} IN (?P<mode>ROW EXCLUSIVE|SHARE ROW EXCLUSIVE) MODE": _lock_table,
        rf"INSERT INTO {_WITHDRAWAL} AS w \(code, revision\) SELECT code, max\(revision\)"
        r" FROM unnest\(%s::text\[\], %s::bigint\[\]\) AS given \(code, revision\) GROUP BY code"
        r" ON CONFLICT \(code\) DO UPDATE SET revision = excluded\.revision"
        r" WHERE w\.revision < excluded\.revision": _store_withdrawals,
        rf"UPDATE {TABLE_NAME} AS t SET {_NULLS} FROM {_WITHDRAWAL} AS w WHERE w\.code = ANY\(%s\)"
        r" AND t\.code = w\.code"
        rf" AND t\.revision <= w\.revision AND {_SHOWN}": _withdraw_addresses,
        rf"UPDATE {STAGE_NAME} AS s SET {_NULLS} FROM {_WITHDRAWAL} AS w WHERE w\.code = s\.code"
        rf" AND w\.revision >= s\.revision AND {_SHOWN}": _withhold_addresses,
    }.items()
}
