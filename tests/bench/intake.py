"""(a) Intake: submissions of gateway servers, a first registration of one person each, in municipalities' topics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from infra.coding import codec
from schemas.tables import table_from_rows
from schemas.topics import NOTICE, input_topic
from tests.bench.cluster import MUNICIPALITIES, BenchCluster, running_cluster
from tests.bench.figures import Figure
from tests.bench.log import PreparedRecord
from tests.bench.people import invented_residents
from tests.bench.sizes import Progress, Sizes
from tests.bench.stateless import StatelessComparison, StatelessStep

TOPICS: Final = [input_topic("juki-cs", code) for code in MUNICIPALITIES]
STEP: Final = StatelessStep(
    "intake",
    inputs=TOPICS,
    outputs=[NOTICE],
    by_record_side="intake_by_record",
    options={"inputs": TOPICS},
    goal=0.7,
    own_timestamps=False,
)
_EMPTY: Final = {"moved_from": "", "moved_to": "", "cancels": "", "raw": None, "fault": None}


def measure(folder: Path, sizes: Sizes, progress: Progress) -> list[Figure]:
    """Compare intake with the bare loop and with itself a record at a time."""
    with running_cluster(folder) as cluster:
        return StatelessComparison(cluster, STEP, sizes, submissions(cluster, sizes.records), progress).run()


def submissions(
    cluster: BenchCluster, count: int, first: int = 0, municipalities: Sequence[str] = MUNICIPALITIES
) -> list[PreparedRecord]:
    """Return records of `in.juki-cs.<municipality>`; numbers of notices and persons count from `first`."""
    people = invented_residents(count, first=first, municipalities=municipalities).to_pylist()
    rows = [
        {
            "file": f"juki_{person['municipality']}.csv",
            "line": line,
            "encoding": "utf-8",
            "rows": [_row(line, person)],
        }
        for line, person in enumerate(people, start=first + 2)
    ]
    values = codec(cluster.environment, cluster.installation).encode(
        "juki-cs-notice", table_from_rows("juki-cs-notice", rows)
    )
    return [
        PreparedRecord(input_topic("juki-cs", person["municipality"]), None, value)
        for person, value in zip(people, values.to_pylist(), strict=True)
    ]


def _row(line: int, person: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: value for name, value in person.items() if name != "birth_date"},
        **_EMPTY,
        "line": line,
        "number": str(line - 1),
        "notice": f"{person['municipality'][:5]}-{line:08d}",
        "reason": "初期登録",
        "effective_on": "2026-02-01",
        "recorded_on": "2026-02-03",
        "birth_date": person["birth_date"].isoformat(),
        "protected": "0",
    }
