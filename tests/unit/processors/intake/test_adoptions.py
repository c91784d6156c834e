"""The command to adopt declarations: to every partition, and only if it is complete."""

from __future__ import annotations

from typing import Any

import pytest

from processors.intake import IntakeProcessor
from tests.unit.processors.submissions import batch, key_ring, rejections

pytestmark = pytest.mark.unit
ORIGIN = {"topic": "in.operator", "partition": 0, "offset": 0}


def command(**fields: Any) -> dict[str, Any]:
    """Return a command to adopt declarations."""
    return {"command": "ADOPT", "origin": ORIGIN, "adoption": 3} | fields


def test_a_command_reaches_every_partition() -> None:
    """It becomes one record without a person, for all partitions."""
    result = IntakeProcessor(key_ring()).process([batch("operator-command", "in.operator", [command()])])
    (output,) = result.outputs
    (record,) = output.table.to_pylist()
    assert (output.topic, output.broadcast) == ("person.change", True)
    assert (record["kind"], record["declarations"], record["person"]) == ("ADOPTED", 3, "")


@pytest.mark.parametrize(
    "fields",
    [
        {"adoption": None},
        {"adoption": 0},
        {"adoption": -1},
        {"dead_letter": {"step": "intake", "digest": "0" * 24, "value": None, "digests": [], "reason": None}},
    ],
)
def test_an_incomplete_command_is_rejected(fields: dict[str, Any]) -> None:
    """Nothing is adopted by a command without a number, or with something else in it."""
    result = IntakeProcessor(key_ring()).process(
        [batch("operator-command", "in.operator", [command(**fields)])]
    )
    assert [code for _, code in rejections(result)] == ["OPERATOR_COMMAND"]
    assert [output.topic for output in result.outputs] == ["rejected.operator"]
