"""A refusal names columns, never what stood in them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.intake import IntakeProcessor
from processors.intake.csv_notices import COLUMNS
from processors.intake.validation_codes import SENTENCES, ValidationCode
from tests.unit.processors.submissions import key_ring, row, rows_batch, rows_of

INTAKE = IntakeProcessor(key_ring())
SPOILED = st.dictionaries(st.sampled_from(COLUMNS[2:]), st.text(min_size=3), min_size=1)


@given(spoiled=SPOILED)
def test_no_value_stands_in_a_refusal(spoiled: dict[str, str]) -> None:
    """Only the number of the notice, and where it stands: the sentence is the same for all hand-overs."""
    for refusal in rows_of(INTAKE.process([rows_batch([row(**spoiled)])]), "rejected.juki-cs"):
        assert refusal["reason"] == SENTENCES[ValidationCode(refusal["code"])]
        assert refusal["municipality"] == "131041"
        place, _, digest = refusal["id"].partition("#")
        assert place.startswith("in.juki-cs.131041/0/")
        assert digest
        assert set(digest) <= set("0123456789abcdef")
        assert refusal["notice"] in (row()["notice"], None)


def test_every_fault_has_a_sentence_in_both_languages() -> None:
    """For the clerk who reads it, and for whoever helps."""
    for fault in ValidationCode:
        japanese, _, english = fault.sentence.partition("。 ")
        assert japanese
        assert english.isascii() or any(term in english for term in "（(")
        assert english.endswith(".")
