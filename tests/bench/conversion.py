"""(a) Conversion: changes of local tax, fields of a different person, with codes of person, household and case."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from infra.coding import codec
from infra.keys import load_keys
from processors.codes import MESH, household_codes, person_codes
from schemas.tables import table_from_rows
from schemas.topics import change_topic, disclosure_topic, domain_topic
from tests.bench.cluster import BenchCluster, running_cluster
from tests.bench.figures import Figure
from tests.bench.log import PreparedRecord
from tests.bench.people import invented_residents
from tests.bench.sizes import Progress, Sizes
from tests.bench.stateless import StatelessComparison, StatelessStep

DOMAIN: Final = "local-tax"
STEP: Final = StatelessStep(
    "conversion",
    inputs=[change_topic(DOMAIN)],
    outputs=[domain_topic(DOMAIN), disclosure_topic(DOMAIN)],
    by_record_side="conversion_by_record",
    options={"domain": DOMAIN},
    goal=0.85,
    moments={disclosure_topic(DOMAIN): ("disclosure", "disclosed_at")},
)


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare conversion with the bare loop and with itself a record at a time."""
    with running_cluster(folder) as cluster:
        return StatelessComparison(cluster, STEP, sizes, changes(cluster, sizes.records), progress).run()


def changes(cluster: BenchCluster, count: int) -> list[PreparedRecord]:
    """Return records of `change.local-tax`: first registrations with all facts."""
    people = invented_residents(count)
    mesh = load_keys(cluster.installation.key_file).cipher(MESH)
    persons = person_codes(mesh, people["code"].combine_chunks())
    municipalities, numbers = (people[name].combine_chunks() for name in ("municipality", "household"))
    households = household_codes(mesh, municipalities, numbers)
    facts = ("name", "kana", "birth_date", "relationship", "address")
    received = datetime(2026, 4, 1, tzinfo=UTC)
    rows = [
        {
            "person": person,
            "entity": "PERSON",
            "op": "UPSERT",
            "revision": 1,
            "municipality": fields["municipality"],
            "effective_on": date(2026, 4, 1),
            "case": {
                "municipality": fields["municipality"],
                "notice": f"{fields['municipality'][:5]}-{number:06d}",
            },
            "reason": "FIRST_REGISTERED",
            "status": "active",
            "facts": {name: fields[name] for name in facts} | {"household": household},
            "received_at": received,
        }
        for number, (fields, person, household) in enumerate(
            zip(people.to_pylist(), persons.to_pylist(), households.to_pylist(), strict=True)
        )
    ]
    values: pa.Array = codec(cluster.environment, cluster.installation).encode(
        "domain-change", table_from_rows("domain-change", rows)
    )
    topic = change_topic(DOMAIN)
    return [
        PreparedRecord(topic, key.encode(), value)
        for key, value in zip(persons.to_pylist(), values.to_pylist(), strict=True)
    ]
