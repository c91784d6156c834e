"""(a) Conversion: changes of local tax, each of another person, with codes of person, household and case."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from infra.codec import codec
from infra.keys import load_keys
from processors.codes import MESH, household_codes, person_codes
from schemas.tables import table_from_rows
from schemas.topics import change_topic, disclosure_topic, domain_topic
from tests.bench.cluster import BenchCluster, running
from tests.bench.figures import Figure
from tests.bench.log import Prepared
from tests.bench.people import residents
from tests.bench.sizes import Say, Sizes
from tests.bench.stateless import Comparison, Stateless

DOMAIN: Final = "local-tax"
STEP: Final = Stateless(
    "conversion",
    inputs=[change_topic(DOMAIN)],
    outputs=[domain_topic(DOMAIN), disclosure_topic(DOMAIN)],
    by_record="conversion_by_record",
    more={"domain": DOMAIN},
    goal=0.85,
)


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Conversion against the bare loop and against itself a record at a time."""
    with running(folder) as place:
        return Comparison(place, STEP, sizes, changes(place, sizes.records), say).run()


def changes(place: BenchCluster, count: int) -> list[Prepared]:
    """Records of `change.local-tax`: first registrations, all facts given."""
    people = residents(count)
    mesh = load_keys(place.installation.key_file).cipher(MESH)
    persons = person_codes(mesh, people["code"].combine_chunks())
    places, numbers = (people[name].combine_chunks() for name in ("municipality", "household"))
    households = household_codes(mesh, places, numbers)
    facts = ("name", "kana", "birth_date", "relationship", "address")
    received = datetime(2026, 4, 1, tzinfo=UTC)
    rows = [
        {
            "person": person,
            "entity": "PERSON",
            "op": "UPSERT",
            "revision": 1,
            "municipality": each["municipality"],
            "effective_on": date(2026, 4, 1),
            "case": {
                "municipality": each["municipality"],
                "notice": f"{each['municipality'][:5]}-{number:06d}",
            },
            "reason": "FIRST_REGISTERED",
            "status": "active",
            "facts": {name: each[name] for name in facts} | {"household": household},
            "received_at": received,
        }
        for number, (each, person, household) in enumerate(
            zip(people.to_pylist(), persons.to_pylist(), households.to_pylist(), strict=True)
        )
    ]
    values: pa.Array = codec(place.environment, place.installation).encode(
        "domain-change", table_from_rows("domain-change", rows)
    )
    topic = change_topic(DOMAIN)
    return [
        Prepared(topic, key.encode(), value)
        for key, value in zip(persons.to_pylist(), values.to_pylist(), strict=True)
    ]
