# ruff: noqa: S608 - these expressions recognize statements; they are not sent to any server
"""The effect of each statement of a sink and its relay on a simulated store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import pyarrow as pa
from psycopg import errors
from pyarrow import csv

Row = dict[str, Any]
#: A table, and the key of a row in it.
RowId = tuple[str, Any]


class StatementSession(Protocol):
    """The session that a statement runs in: the rows as its transaction sees them."""

    stages: dict[str, list[Row]]

    def value(self, row_id: RowId) -> Any:
        """Return a row, or None if it doesn't exist."""

    def write(self, row_id: RowId, value: Any) -> None:
        """Set a row, or delete it (None)."""

    def rows(self, table: str) -> list[Any]:
        """Return the keys of a table's rows."""

    def lock(self, row_id: RowId, *, skip: bool = False) -> bool:
        """Lock a row; if another session has it, wait, or return False (`skip`)."""

    def lock_table(self, table: str, *, exclusive: bool) -> None:
        """Lock a table until the transaction ends: for itself alone, or with others that don't want it alone."""

    def insert(self, table: str, value: Any) -> None:
        """Insert a row with a new identity."""

    def set_silence_limit(self, seconds: float) -> None:
        """Let this transaction last, and be silent for that long."""

    def terminate_hung_sessions(self, seconds: float) -> int:
        """Terminate other sessions with an older transaction; return how many."""

    def rejects(self, row: Row, *, on_copy: bool) -> bool:
        """Return whether this row is rejected, on COPY or by the table itself."""

    def now(self) -> datetime:
        """Return the time on the server's clock."""


#: Key columns.
_KEYS: Final = ("municipality", "code", "case_code")
_KEY_MAX: Final = 2_700
_STATUS: Final = frozenset({"active", "candidate", "closed"})
#: A row with this column is one of a history, which may be retracted.
_KNOWN_FROM: Final = "known_from"


@dataclass(frozen=True)
class StatementResult:
    """The result of a statement."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rowcount: int = 0

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self.rows


def copy_rows(session: StatementSession, text: str, content: bytes) -> bool:
    """Copy rows into a temporary table; return False if the statement is another one."""
    match = _COPY_STAGE.fullmatch(text)
    if match:
        rows = _parse(content, match["columns"])
        for row in rows:
            # The temporary table has the constraints of the table itself.
            if row["op"] == "UPSERT":
                _check_constraints(row, [name for name in _KEYS if name in row])
                if session.rejects(row, on_copy=True):
                    raise errors.CheckViolation
        session.stages[match["stage"]] += rows
    return match is not None


def copy_dead_letters(session: StatementSession, text: str, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Copy dead letters into their outbox; return False if the statement is another one."""
    match = _COPY_DEAD_LETTERS.fullmatch(text)
    if match:
        for row in rows:
            session.insert(match["table"], row)
    return match is not None


def _parse(text: bytes, columns: str) -> list[Row]:
    if b"\0" in text:
        raise errors.CharacterNotInRepertoire
    names = [name.strip('"') for name in columns.split(", ")]
    table = csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(column_names=names, use_threads=False),
        csv.ParseOptions(newlines_in_values=True),
        csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    rows: list[Row] = table.to_pylist()
    for row in rows:
        row["revision"] = int(row["revision"])
    return rows


def _second_key(row: Row, expression: str) -> str:
    return joined_key([row[name] for name in re.findall(r'"s"\."(\w+)"', expression)])


def joined_key(values: Sequence[str]) -> str:
    """Return the `second_key` of a deleted row whose key has these values besides the person's code."""
    return json.dumps(list(values), ensure_ascii=False) if len(values) > 1 else "".join(values)


def _create_stage(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    session.stages.setdefault(match["stage"], [])
    return StatementResult()


def _clear_stage(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    session.stages[match["stage"]].clear()
    return StatementResult()


def _upsert(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    keys = [name.strip('"') for name in match["key"].split(", ")]
    for row in session.stages[match["stage"]]:
        if row["op"] != "UPSERT":
            continue
        deleted_revision = session.value(
            ("deleted_revision", (match["entity"], row["code"], _second_key(row, match["second_key"])))
        )
        if match["checks_deleted"] and deleted_revision is not None and deleted_revision >= row["revision"]:
            continue
        _check_constraints(row, keys)
        if sum(len(row[name]) for name in keys) > _KEY_MAX:
            raise errors.ProgramLimitExceeded
        if session.rejects(row, on_copy=False):
            raise errors.RaiseException
        row_id = (match["table"], tuple(row[name] for name in keys))
        stored = session.value(row_id)
        if stored is None or not match["guarded"] or stored["revision"] < row["revision"]:
            session.write(row_id, row)
    return StatementResult()


def _check_constraints(row: Row, keys: Sequence[str]) -> None:
    if any(row[name] is None for name in keys):
        raise errors.NotNullViolation
    is_retracted = _KNOWN_FROM in row and row.get("status") == "retracted"
    if "status" in row and row["status"] not in _STATUS and not is_retracted:
        raise errors.CheckViolation


def _delete(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    keys = re.findall(r't\."(\w+)" = s\."\w+"', match["same"])
    for row in session.stages[match["stage"]]:
        row_id = (match["table"], tuple(row[name] for name in keys))
        stored = session.value(row_id)
        exists = row["op"] == "DELETE" and stored is not None
        if exists and (not match["guarded"] or stored["revision"] < row["revision"]):
            session.write(row_id, None)
    return StatementResult()


def _remember_deleted(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    for row in session.stages[match["stage"]]:
        if row["op"] == "DELETE":
            row_id = (
                "deleted_revision",
                (match["entity"], row["code"], _second_key(row, match["second_key"])),
            )
            session.write(row_id, max(row["revision"], session.value(row_id) or 0))
    return StatementResult()


def _make_offsets(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    topic, partitions = values
    for partition in partitions:
        row_id = ("sink_offset", (topic, partition))
        if session.value(row_id) is None:
            session.lock(row_id)
        if session.value(row_id) is None:
            session.write(row_id, 0)
    return StatementResult()


def _read_offsets(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    topic, partitions = values
    read = [(partition, session.value(("sink_offset", (topic, partition)))) for partition in partitions]
    return StatementResult([row for row in read if row[1] is not None])


def _advance(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    next_offset, topic, partition, expected = values
    row_id = ("sink_offset", (topic, partition))
    session.lock(row_id)
    if session.value(row_id) != expected:
        return StatementResult()
    session.write(row_id, next_offset)
    return StatementResult(rowcount=1)


def _lock_offset(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    row_id = ("sink_offset", tuple(values))
    session.lock(row_id)
    return StatementResult([] if session.value(row_id) is None else [(session.value(row_id),)])


def _no_constraints(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    """Return no constraint: temporary tables have the same ones."""
    return StatementResult()


def _drop_stage(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    del session.stages[match["stage"]]
    return StatementResult()


def _dlq_rows(
    session: StatementSession, partitions: Sequence[int]
) -> list[tuple[int, int, str, str, str, str | None]]:
    """Return the entries of the dead-letter queue of these partitions, in the order of their offsets."""
    return [
        (*key, *session.value(("dlq_entry", key)))
        for key in session.rows("dlq_entry")
        if key[0] in partitions
    ]


def _dead_letters(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    rows = _dlq_rows(session, values[0])
    return StatementResult(
        [(digest, ordering_key) for _, _, kind, digest, _, ordering_key in rows if kind == "DEAD_LETTER"]
    )


def _count_blocked(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    return StatementResult([(sum(row[2] == "BLOCKED" for row in _dlq_rows(session, values[0])),)])


def _affected_entries(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    rows = _dlq_rows(session, values[:1])
    ordering_keys = {row[5] for row in rows if row[3] == values[1]} - {None}
    return StatementResult([row[1:] for row in rows if row[3] == values[1] or row[5] in ordering_keys])


def _add_dlq_entries(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    for partition, offset, *rest in zip(*values, strict=True):
        row_id = ("dlq_entry", (partition, offset))
        known = session.value(row_id)
        if known is None or (known[0], rest[0]) != ("DEAD_LETTER", "BLOCKED"):
            session.write(row_id, tuple(rest))
    return StatementResult()


def _delete_dlq_entries(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    for offset in values[1]:
        session.write(("dlq_entry", (values[0], offset)), None)
    return StatementResult()


def _record_command(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    session.write(("dlq_command_done", tuple(values)), True)
    return StatementResult()


def _is_command_done(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    return StatementResult([(int(session.value(("dlq_command_done", tuple(values))) is not None),)])


def _insert_receipts(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    session.insert(match["table"], (values[0], session.now()))
    return StatementResult()


def _lock_rows(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    locked: list[tuple[Any, ...]] = []
    for key in session.rows(match["table"]):
        if len(locked) < values[0] and session.lock((match["table"], key), skip=True):
            locked.append((key, *session.value((match["table"], key))))
    return StatementResult(locked)


def _delete_rows(session: StatementSession, match: re.Match[str], values: Sequence[Any]) -> StatementResult:
    for key in values[0]:
        session.write((match["table"], key), None)
    return StatementResult()


def _set_silence_limit(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    session.set_silence_limit(int(values[0]) / 1_000)
    return StatementResult()


def _terminate_hung_sessions(
    session: StatementSession, match: re.Match[str], values: Sequence[Any]
) -> StatementResult:
    return StatementResult([(session.terminate_hung_sessions(values[0]),)])


STAGE_NAME = r'"pg_temp"\."stage_(?P<stage>\w+)"'
TABLE_NAME = r'"\w+"\."(?P<table>\w+)"'
OFFSET_NAME = r'"\w+"\."sink_offset"'
_DELETED = r'"\w+"\."deleted_revision"'
_DLQ_ENTRY = r'"\w+"\."dlq_entry"'
_DONE = r'"\w+"\."dlq_command_done"'
_OF = r"(?P<entity>'\w+')"
_SECOND_KEY = r"""(?P<second_key>''|"s"\."\w+"|json_build_array\([^)]*\)::text)"""
_COPY_STAGE: Final = re.compile(rf"COPY {STAGE_NAME} \((?P<columns>.*)\) FROM STDIN \(FORMAT csv\)")
_COPY_DEAD_LETTERS: Final = re.compile(rf"COPY {TABLE_NAME} \(key, value\) FROM STDIN \(FORMAT binary\)")

StatementEffect = Callable[[StatementSession, re.Match[str], Sequence[Any]], StatementResult]

#: All statements. Those of a merge may lack the comparison of revisions: a seeded fault removes it.
STATEMENTS: Final[Mapping[re.Pattern[str], StatementEffect]] = {
    re.compile(pattern): meaning
    for pattern, meaning in {
        rf"CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE_NAME} \(.*\) ON COMMIT DELETE ROWS": _create_stage,
        rf"DELETE FROM {STAGE_NAME}": _clear_stage,
        rf"INSERT INTO {TABLE_NAME} AS t \(.*\) SELECT .* FROM {STAGE_NAME} AS s WHERE s\.op = 'UPSERT'"
        rf"(?P<checks_deleted> AND NOT EXISTS \( SELECT FROM {_DELETED} AS d WHERE d\.entity = {_OF}"
        rf" AND d\.code = s\.code AND d\.second_key = {_SECOND_KEY} AND d\.revision >= s\.revision\))?"
        r" ON CONFLICT \((?P<key>.*)\) DO UPDATE SET .*?(?P<guarded> WHERE t\.revision < excluded\.revision)?": _upsert,
        rf"DELETE FROM {TABLE_NAME} AS t USING {STAGE_NAME} AS s WHERE s\.op = 'DELETE' AND (?P<same>.*?)"
        r"(?P<guarded> AND t\.revision < s\.revision)?": _delete,
        rf"INSERT INTO {_DELETED} AS d \(entity, code, second_key, revision\)"
        rf" SELECT {_OF}, s\.code, {_SECOND_KEY}, s\.revision"
        rf" FROM {STAGE_NAME} AS s WHERE s\.op = 'DELETE' ON CONFLICT \(entity, code, second_key\) DO UPDATE"
        r" SET revision = excluded\.revision WHERE d\.revision < excluded\.revision": _remember_deleted,
        rf"INSERT INTO {OFFSET_NAME} \(topic, partition, next_offset\) SELECT %s, partition, 0"
        r" FROM unnest\(%s::integer\[\]\) AS partition ON CONFLICT DO NOTHING": _make_offsets,
        rf"SELECT partition, next_offset FROM {OFFSET_NAME} WHERE topic = %s AND partition = ANY\(%s\)": _read_offsets,
        rf"UPDATE {OFFSET_NAME} SET next_offset = %s WHERE topic = %s AND partition = %s"
        r" AND next_offset = %s": _advance,
        rf"SELECT next_offset FROM {OFFSET_NAME} WHERE topic = %s AND partition = %s FOR UPDATE": _lock_offset,
        r"SELECT c\.conname, .* FROM pg_constraint AS c .*": _no_constraints,
        rf"DROP TABLE {STAGE_NAME}": _drop_stage,
        rf"SELECT digest, ordering_key FROM {_DLQ_ENTRY} WHERE kind = 'DEAD_LETTER'"
        r" AND partition = ANY\(%s\)": _dead_letters,
        rf"SELECT count\(\*\) FROM {_DLQ_ENTRY} WHERE kind = 'BLOCKED' AND partition = ANY\(%s\)": _count_blocked,
        rf"SELECT record_offset, kind, digest, reason, ordering_key FROM {_DLQ_ENTRY} AS p WHERE partition = %s AND"
        rf" \(digest = %s OR ordering_key IN \( SELECT ordering_key FROM {_DLQ_ENTRY} WHERE partition = p\.partition"
        r" AND digest = %s\)\) ORDER BY record_offset": _affected_entries,
        rf"INSERT INTO {_DLQ_ENTRY} AS p \(partition, record_offset, kind, digest, reason, ordering_key\)"
        r" SELECT \* FROM unnest\(.*\)"
        r" ON CONFLICT \(partition, record_offset\) DO UPDATE SET kind = excluded\.kind, digest = excluded\.digest,"
        r" reason = excluded\.reason, ordering_key = excluded\.ordering_key"
        r" WHERE NOT \(p\.kind = 'DEAD_LETTER' AND excluded\.kind = 'BLOCKED'\)": _add_dlq_entries,
        rf"DELETE FROM {_DLQ_ENTRY} WHERE partition = %s AND record_offset = ANY\(%s\)": _delete_dlq_entries,
        rf"INSERT INTO {_DONE} \(id, partition\) VALUES \(%s, %s\)": _record_command,
        rf"SELECT count\(\*\) FROM {_DONE} WHERE id = %s AND partition = %s": _is_command_done,
        rf"INSERT INTO {TABLE_NAME} \(receipts\) VALUES \(%b\)": _insert_receipts,
        rf"SELECT id, receipts, applied_at FROM {TABLE_NAME} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED": _lock_rows,
        rf"SELECT id, key, value FROM {TABLE_NAME} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED": _lock_rows,
        rf"DELETE FROM {TABLE_NAME} WHERE id = ANY\(%s\)": _delete_rows,
        r"SELECT set_config\('transaction_timeout', '0', true\), .*": _set_silence_limit,
        r"SELECT count\(pg_terminate_backend\(pid\)\) FROM pg_stat_activity WHERE .*": _terminate_hung_sessions,
    }.items()
}
