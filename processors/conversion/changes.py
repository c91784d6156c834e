"""The conversion of changes: from the mesh's codes to a domain's codes, with a record of every disclosure."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from processors.codes import Cipher
from processors.columns import struct_fields
from processors.conversion.change_columns import ChangeColumns, change_columns, domain_records
from processors.conversion.disclosures import disclosures
from schemas.reasons import Reason
from schemas.systems import Domain
from schemas.systems.model import FACT_OF_COLUMN
from schemas.topics import disclosure_topic, domain_topic
from streams.contract import Batch, Output, Poison, Result, Tables


class ChangeConverter:
    """Converts records of `change.<domain>` into records of `domain.<domain>` and `disclosure.<domain>`.

    Poison: `no-rule` if the domain receives no such entity or no message for this reason, or `op` is unknown;
    `bad-code` if the person or the household isn't a mesh code; `reading` if the reading has no Hepburn romanization;
    `no-status` if a row to upsert has no status; `columns` if the texts of a row of a reading aren't as declared.
    """

    def __init__(self, domain: Domain, cipher: Cipher) -> None:
        self._domain, self._cipher = domain, cipher

    def convert(self, batch: Batch, tables: Tables) -> Result:
        """Return the domain's records and the disclosures; `Poison.index` is a row of the batch."""
        table = batch.table
        changes = change_columns(self._domain, self._cipher, table, tables)
        failures = _failures(changes)
        poison: list[Poison] = []
        if failures.null_count < len(failures):
            rows = pc.indices_nonzero(pc.is_valid(failures)).to_pylist()
            reasons = failures.drop_null().to_pylist()
            poison = [Poison(0, row, reason) for row, reason in zip(rows, reasons, strict=True)]
            changes = change_columns(self._domain, self._cipher, table.filter(pc.is_null(failures)), tables)
        codes, times = changes.codes, changes.timestamps_ms
        domain, disclosed = self._domain, disclosures(changes, batch.processed_at_ms)
        return Result(
            [
                Output(domain_topic(domain.id), domain.event, domain_records(changes), codes, times),
                Output(disclosure_topic(domain.id), "disclosure", disclosed, codes, times),
            ],
            poison,
        )


def _failures(changes: ChangeColumns) -> pa.Array:
    """Return the reason (string) why each change can't be converted, null if it can."""
    failing_by_reason: list[tuple[str, pa.Array]] = [
        ("no-rule", pc.invert(_has_rule(changes))),
        ("bad-code", pc.or_(pc.is_null(changes.codes), _not_converted(changes, "household_code"))),
        ("reading", _not_converted(changes, "roman")),
        ("no-status", pc.and_(pc.invert(changes.is_upsert_of("MESSAGE")), _without_status(changes))),
        *(("columns", pc.and_not(rows.is_row, rows.is_readable)) for rows in changes.readings.values()),
    ]
    failures = pa.nulls(len(changes), pa.string())
    for reason, failing in reversed(failing_by_reason):
        failures = pc.if_else(failing, reason, failures)
    return failures


def _has_rule(changes: ChangeColumns) -> pa.Array:
    domain, entity = changes.domain, changes.columns["entity"]
    received_entities = [
        name
        for name, received in (
            ("PERSON", domain.has_persons),
            ("PERSON_HISTORY", domain.has_history),
            ("ACCOUNT", domain.has_accounts),
        )
        if received
    ]
    received_entities += [reads.name for reads in domain.readings]
    is_received = pc.is_in(entity, value_set=pa.array(received_entities, pa.string()))
    message_reasons = pa.array(
        [reason.value for reason in Reason if reason in domain.message_on], pa.string()
    )
    reason = struct_fields(changes.columns["message"])["reason"]
    is_message = pc.and_(pc.equal(entity, "MESSAGE"), pc.is_in(reason, value_set=message_reasons))
    is_known_op = pc.is_in(changes.columns["op"], value_set=pa.array(["UPSERT", "DELETE"]))
    return pc.and_(pc.or_(is_received, is_message), is_known_op)


def _not_converted(changes: ChangeColumns, column: str) -> pa.Array:
    """Return whether each change has the fact but a null in the column derived from it."""
    if column not in changes.domain.columns:
        return pa.repeat(False, len(changes))
    has_fact = pc.is_valid(changes.facts[FACT_OF_COLUMN[column]])
    return pc.and_(has_fact, pc.is_null(changes.columns_by_entity["PERSON"][column]))


def _without_status(changes: ChangeColumns) -> pa.Array:
    return pc.and_(pc.equal(changes.columns["op"], "UPSERT"), pc.is_null(changes.columns["status"]))
