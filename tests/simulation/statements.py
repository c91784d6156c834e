# ruff: noqa: S608 - these are expressions by which statements are known, and are sent to nobody
"""What each statement of a sink and its relay does to a simulated store."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import pyarrow as pa
from psycopg import errors
from pyarrow import csv

Row = dict[str, Any]
#: A table and the key of a row in it.
Place = tuple[str, Any]


class Session(Protocol):
    """What a statement works on: the rows as its transaction sees them."""

    stages: dict[str, list[Row]]

    def value(self, place: Place) -> Any:
        """A row; None where there is none."""

    def write(self, place: Place, value: Any) -> None:
        """Sets or (None) deletes a row."""

    def rows(self, table: str) -> list[Any]:
        """Keys of a table's rows."""

    def lock(self, place: Place, *, skip: bool = False) -> bool:
        """Has a row to itself; where it is another's, waits, or says False."""

    def insert(self, table: str, value: Any) -> None:
        """A row with an identity."""

    def be_patient(self, seconds: float) -> None:
        """This transaction may be silent for so long, and last."""

    def end_hung(self, seconds: float) -> int:
        """Ends all other sessions whose transaction is older than that; how many."""

    def refuses(self, row: Row, *, copied: bool) -> bool:
        """Whether this row is refused, as it is copied in or by the table itself."""

    def now(self) -> datetime:
        """The server's clock."""


#: Columns that make keys.
_KEYS: Final = ("municipality", "code", "case_code")
_KEY_MAX: Final = 2_700
_STATUS: Final = frozenset({"active", "candidate", "closed"})


@dataclass(frozen=True)
class Answer:
    """What a statement answers."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    rowcount: int = 0

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows."""
        return self.rows


def copied_rows(session: Session, text: str, content: bytes) -> bool:
    """Rows copied into a temporary table; False where the statement is another."""
    found = _COPY_STAGE.fullmatch(text)
    if found:
        rows = _parsed(content, found["columns"])
        for row in rows:
            # As the temporary table has the table's own constraints.
            if row["op"] == "UPSERT":
                _allowed(row, [name for name in _KEYS if name in row])
                if session.refuses(row, copied=True):
                    raise errors.CheckViolation
        session.stages[found["stage"]] += rows
    return found is not None


def copied_letters(session: Session, text: str, rows: Sequence[tuple[Any, ...]]) -> bool:
    """Dead letters copied into their outbox; False where the statement is another."""
    found = _COPY_LETTERS.fullmatch(text)
    if found:
        for row in rows:
            session.insert(found["table"], row)
    return found is not None


def _parsed(text: bytes, columns: str) -> list[Row]:
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


def _part(row: Row, part: str) -> str:
    return "" if part == "''" else str(row[part.removeprefix('"s".').strip('"')])


def _stage(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    session.stages.setdefault(found["stage"], [])
    return Answer()


def _clear(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    session.stages[found["stage"]].clear()
    return Answer()


def _upsert(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    keys = [name.strip('"') for name in found["key"].split(", ")]
    for row in session.stages[found["stage"]]:
        if row["op"] != "UPSERT":
            continue
        buried = session.value(
            ("deleted_revision", (found["entity"], row["code"], _part(row, found["part"])))
        )
        if found["remembered"] and buried is not None and buried >= row["revision"]:
            continue
        _allowed(row, keys)
        if sum(len(row[name]) for name in keys) > _KEY_MAX:
            raise errors.ProgramLimitExceeded
        if session.refuses(row, copied=False):
            raise errors.RaiseException
        place = (found["table"], tuple(row[name] for name in keys))
        held = session.value(place)
        if held is None or not found["guarded"] or held["revision"] < row["revision"]:
            session.write(place, row)
    return Answer()


def _allowed(row: Row, keys: Sequence[str]) -> None:
    if any(row[name] is None for name in keys):
        raise errors.NotNullViolation
    if "status" in row and row["status"] not in _STATUS:
        raise errors.CheckViolation


def _delete(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    keys = re.findall(r't\."(\w+)" = s\."\w+"', found["same"])
    for row in session.stages[found["stage"]]:
        place = (found["table"], tuple(row[name] for name in keys))
        held = session.value(place)
        gone = row["op"] == "DELETE" and held is not None
        if gone and (not found["guarded"] or held["revision"] < row["revision"]):
            session.write(place, None)
    return Answer()


def _remember(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    for row in session.stages[found["stage"]]:
        if row["op"] == "DELETE":
            place = ("deleted_revision", (found["entity"], row["code"], _part(row, found["part"])))
            session.write(place, max(row["revision"], session.value(place) or 0))
    return Answer()


def _make_offsets(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    topic, partitions = values
    for partition in partitions:
        place = ("sink_offset", (topic, partition))
        if session.value(place) is None:
            session.lock(place)
        if session.value(place) is None:
            session.write(place, 0)
    return Answer()


def _read_offsets(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    topic, partitions = values
    read = [(each, session.value(("sink_offset", (topic, each)))) for each in partitions]
    return Answer([row for row in read if row[1] is not None])


def _advance(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    wanted, topic, partition, started = values
    place = ("sink_offset", (topic, partition))
    session.lock(place)
    if session.value(place) != started:
        return Answer()
    session.write(place, wanted)
    return Answer(rowcount=1)


def _hold(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    place = ("sink_offset", tuple(values))
    session.lock(place)
    return Answer([] if session.value(place) is None else [(session.value(place),)])


def _no_constraints(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    """None has to be told: those that there are hold in temporary tables as well."""
    return Answer()


def _drop_stage(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    del session.stages[found["stage"]]
    return Answer()


def _aside(session: Session, partitions: Sequence[int]) -> list[tuple[int, int, str, str, str, str | None]]:
    """What is set aside of these partitions, in the order of its records."""
    return [
        (*key, *session.value(("dlq_entry", key)))
        for key in session.rows("dlq_entry")
        if key[0] in partitions
    ]


def _letters(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    rows = _aside(session, values[0])
    return Answer(
        [(digest, ordering_key) for _, _, kind, digest, _, ordering_key in rows if kind == "DEAD_LETTER"]
    )


def _count_parked(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    return Answer([(sum(row[2] == "BLOCKED" for row in _aside(session, values[0])),)])


def _concerned(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    rows = _aside(session, values[:1])
    strands = {row[5] for row in rows if row[3] == values[1]} - {None}
    return Answer([row[1:] for row in rows if row[3] == values[1] or row[5] in strands])


def _set_aside(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    for partition, offset, *rest in zip(*values, strict=True):
        place = ("dlq_entry", (partition, offset))
        known = session.value(place)
        if known is None or (known[0], rest[0]) != ("DEAD_LETTER", "BLOCKED"):
            session.write(place, tuple(rest))
    return Answer()


def _take_back(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    for offset in values[1]:
        session.write(("dlq_entry", (values[0], offset)), None)
    return Answer()


def _do_act(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    session.write(("dlq_command_done", tuple(values)), True)
    return Answer()


def _has_done(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    return Answer([(int(session.value(("dlq_command_done", tuple(values))) is not None),)])


def _add_receipts(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    session.insert(found["table"], (values[0], session.now()))
    return Answer()


def _take(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    taken: list[tuple[Any, ...]] = []
    for key in session.rows(found["table"]):
        if len(taken) < values[0] and session.lock((found["table"], key), skip=True):
            taken.append((key, *session.value((found["table"], key))))
    return Answer(taken)


def _forget(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    for key in values[0]:
        session.write((found["table"], key), None)
    return Answer()


def _be_patient(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    session.be_patient(int(values[0]) / 1_000)
    return Answer()


def _end_hung(session: Session, found: re.Match[str], values: Sequence[Any]) -> Answer:
    return Answer([(session.end_hung(values[0]),)])


_STAGE = r'"pg_temp"\."stage_(?P<stage>\w+)"'
_TABLE = r'"\w+"\."(?P<table>\w+)"'
_OFFSET = r'"\w+"\."sink_offset"'
_DELETED = r'"\w+"\."deleted_revision"'
_DLQ_ENTRY = r'"\w+"\."dlq_entry"'
_DONE = r'"\w+"\."dlq_command_done"'
_OF = r"(?P<entity>'\w+')"
_PART = r"""(?P<part>''|"s"\."\w+")"""
_COPY_STAGE: Final = re.compile(rf"COPY {_STAGE} \((?P<columns>.*)\) FROM STDIN \(FORMAT csv\)")
_COPY_LETTERS: Final = re.compile(rf"COPY {_TABLE} \(key, value\) FROM STDIN \(FORMAT binary\)")

Meaning = Callable[[Session, re.Match[str], Sequence[Any]], Answer]

#: Every statement there is. Those of a merge may lack the guards by the revision: a seeded fault leaves them away.
STATEMENTS: Final[Mapping[re.Pattern[str], Meaning]] = {
    re.compile(pattern): meaning
    for pattern, meaning in {
        rf"CREATE TEMPORARY TABLE IF NOT EXISTS {_STAGE} \(.*\) ON COMMIT DELETE ROWS": _stage,
        rf"DELETE FROM {_STAGE}": _clear,
        rf"INSERT INTO {_TABLE} AS t \(.*\) SELECT .* FROM {_STAGE} AS s WHERE s\.op = 'UPSERT'"
        rf"(?P<remembered> AND NOT EXISTS \( SELECT FROM {_DELETED} AS d WHERE d\.entity = {_OF} AND d\.code = s\.code"
        rf" AND d\.part = {_PART} AND d\.revision >= s\.revision\))?"
        r" ON CONFLICT \((?P<key>.*)\) DO UPDATE SET .*?(?P<guarded> WHERE t\.revision < excluded\.revision)?": _upsert,
        rf"DELETE FROM {_TABLE} AS t USING {_STAGE} AS s WHERE s\.op = 'DELETE' AND (?P<same>.*?)"
        r"(?P<guarded> AND t\.revision < s\.revision)?": _delete,
        rf"INSERT INTO {_DELETED} AS d \(entity, code, part, revision\) SELECT {_OF}, s\.code, {_PART}, s\.revision"
        rf" FROM {_STAGE} AS s WHERE s\.op = 'DELETE' ON CONFLICT \(entity, code, part\) DO UPDATE"
        r" SET revision = excluded\.revision WHERE d\.revision < excluded\.revision": _remember,
        rf"INSERT INTO {_OFFSET} \(topic, partition, next_offset\) SELECT %s, partition, 0"
        r" FROM unnest\(%s::integer\[\]\) AS partition ON CONFLICT DO NOTHING": _make_offsets,
        rf"SELECT partition, next_offset FROM {_OFFSET} WHERE topic = %s AND partition = ANY\(%s\)": _read_offsets,
        rf"UPDATE {_OFFSET} SET next_offset = %s WHERE topic = %s AND partition = %s AND next_offset = %s": _advance,
        rf"SELECT next_offset FROM {_OFFSET} WHERE topic = %s AND partition = %s FOR UPDATE": _hold,
        r"SELECT c\.conname, .* FROM pg_constraint AS c .*": _no_constraints,
        rf"DROP TABLE {_STAGE}": _drop_stage,
        rf"SELECT digest, ordering_key FROM {_DLQ_ENTRY} WHERE kind = 'DEAD_LETTER' AND partition = ANY\(%s\)": _letters,
        rf"SELECT count\(\*\) FROM {_DLQ_ENTRY} WHERE kind = 'BLOCKED' AND partition = ANY\(%s\)": _count_parked,
        rf"SELECT record_offset, kind, digest, reason, ordering_key FROM {_DLQ_ENTRY} AS p WHERE partition = %s AND"
        rf" \(digest = %s OR ordering_key IN \( SELECT ordering_key FROM {_DLQ_ENTRY} WHERE partition = p\.partition"
        r" AND digest = %s\)\) ORDER BY record_offset": _concerned,
        rf"INSERT INTO {_DLQ_ENTRY} AS p \(partition, record_offset, kind, digest, reason, ordering_key\)"
        r" SELECT \* FROM unnest\(.*\)"
        r" ON CONFLICT \(partition, record_offset\) DO UPDATE SET kind = excluded\.kind, digest = excluded\.digest,"
        r" reason = excluded\.reason, ordering_key = excluded\.ordering_key"
        r" WHERE NOT \(p\.kind = 'DEAD_LETTER' AND excluded\.kind = 'BLOCKED'\)": _set_aside,
        rf"DELETE FROM {_DLQ_ENTRY} WHERE partition = %s AND record_offset = ANY\(%s\)": _take_back,
        rf"INSERT INTO {_DONE} \(id, partition\) VALUES \(%s, %s\)": _do_act,
        rf"SELECT count\(\*\) FROM {_DONE} WHERE id = %s AND partition = %s": _has_done,
        rf"INSERT INTO {_TABLE} \(receipts\) VALUES \(%b\)": _add_receipts,
        rf"SELECT id, receipts, applied_at FROM {_TABLE} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED": _take,
        rf"SELECT id, key, value FROM {_TABLE} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED": _take,
        rf"DELETE FROM {_TABLE} WHERE id = ANY\(%s\)": _forget,
        r"SELECT set_config\('transaction_timeout', '0', true\), .*": _be_patient,
        r"SELECT count\(pg_terminate_backend\(pid\)\) FROM pg_stat_activity WHERE .*": _end_hung,
    }.items()
}
