"""The conversion of protection measures: for each domain, up to which revision of a code no place may be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from processors.codes import Cipher, CodeKind, KeyRing, domain_codes
from processors.columns import output_from_rows
from processors.conversion.change_columns import day_timestamps_ms
from processors.conversion.withholding import is_in_force
from schemas.systems import DOMAINS
from schemas.tables import rows_from_table
from schemas.topics import withdrawal_topic
from streams.contract import Batch, Output, Poison, Result, Tables


class WithdrawalConverter:
    """Converts records of `protection` into records of `withdrawal.<domain>`, while a measure is in force.

    A domain that has received no change of the person gets none: it would learn of a code that it doesn't have. The
    end of a measure needs no record: what is published then has a higher revision. Poison: `bad-code` if the person
    isn't a mesh code.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._ciphers = {
            domain.id: keys.cipher(domain.id) for domain in DOMAINS.values() if domain.has_withdrawals
        }

    def convert(self, batch: Batch, tables: Tables) -> Result:
        """Return the withdrawals; `Poison.index` is a row of the batch."""
        rows = rows_from_table(batch.table)
        unknown = _unknown_persons(next(iter(self._ciphers.values())), batch.table)
        in_force = [row for index, row in enumerate(rows) if index not in unknown and is_in_force(row)]
        return Result(
            list(self._outputs(in_force)), [Poison(0, index, "bad-code") for index in sorted(unknown)]
        )

    def _outputs(self, rows: list[dict[str, Any]]) -> Iterator[Output]:
        for domain, cipher in self._ciphers.items():
            of_domain = [
                (row, each["revision"])
                for row in rows
                for each in row["revisions"]
                if each["domain"] == domain
            ]
            if not of_domain:
                continue
            persons = pa.array([row["person"] for row, _ in of_domain], pa.string())
            codes = domain_codes(cipher, persons, CodeKind.PERSON).to_pylist()
            withdrawals = [
                {"code": code, "revision": revision}
                for code, (_, revision) in zip(codes, of_domain, strict=True)
            ]
            days = pa.array([row["measures"][-1]["since"] for row, _ in of_domain], pa.date32())
            output = output_from_rows(withdrawal_topic(domain), "withdrawal", withdrawals, codes)
            # As on the domain's other topics: a common time of arrival would join two domains' records.
            yield Output(output.topic, output.schema, output.table, output.key, day_timestamps_ms(days))


def _unknown_persons(cipher: Cipher, table: pa.Table) -> set[int]:
    persons = table.column("person").combine_chunks()
    codes = domain_codes(cipher, persons, CodeKind.PERSON).is_valid().to_pylist()
    return {index for index, known in enumerate(codes) if not known}
