"""(a) Intake: hand-overs of gateway servers, a first registration of one person each, in municipalities' topics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from infra.codec import codec
from schemas.tables import table_from_rows
from schemas.topics import NOTICE, input_topic
from tests.bench.cluster import MUNICIPALITIES, BenchCluster, running
from tests.bench.figures import Figure
from tests.bench.log import Prepared
from tests.bench.people import residents
from tests.bench.sizes import Say, Sizes
from tests.bench.stateless import Comparison, Stateless

TOPICS: Final = [input_topic("juki-cs", code) for code in MUNICIPALITIES]
STEP: Final = Stateless(
    "intake",
    inputs=TOPICS,
    outputs=[NOTICE],
    by_record="intake_by_record",
    more={"inputs": TOPICS},
    goal=0.7,
    stamped=False,
)
_EMPTY: Final = {"moved_from": "", "moved_to": "", "cancels": "", "raw": None, "fault": None}


def measure(folder: Path, sizes: Sizes, say: Say) -> list[Figure]:
    """Intake against the bare loop and against itself a record at a time."""
    with running(folder) as place:
        return Comparison(place, STEP, sizes, hand_overs(place, sizes.records), say).run()


def hand_overs(
    place: BenchCluster, count: int, first: int = 0, municipalities: Sequence[str] = MUNICIPALITIES
) -> list[Prepared]:
    """Records of `in.juki-cs.<municipality>`; numbers of notices and persons count from `first`."""
    people = residents(count, first=first, municipalities=municipalities).to_pylist()
    rows = [
        {
            "file": f"juki_{each['municipality']}.csv",
            "line": line,
            "encoding": "utf-8",
            "rows": [_row(line, each)],
        }
        for line, each in enumerate(people, start=first + 2)
    ]
    values = codec(place.environment, place.installation).encode(
        "juki-cs-notice", table_from_rows("juki-cs-notice", rows)
    )
    return [
        Prepared(input_topic("juki-cs", each["municipality"]), None, value)
        for each, value in zip(people, values.to_pylist(), strict=True)
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
