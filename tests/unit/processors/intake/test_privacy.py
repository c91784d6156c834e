"""A rejection names columns, never their values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.intake import IntakeProcessor
from processors.intake.csv_notices import COLUMNS
from processors.intake.validation_codes import SENTENCES, ValidationCode
from tests.unit.processors.submissions import csv_notices, csv_row, key_ring, records_of

INTAKE = IntakeProcessor(key_ring())
OVERRIDES = st.dictionaries(st.sampled_from(COLUMNS[2:]), st.text(min_size=3), min_size=1)


@given(overrides=OVERRIDES)
def test_a_rejection_has_no_value_of_a_column(overrides: dict[str, str]) -> None:
    """Only the notice number and the origin; the sentence is the same for all submissions."""
    for rejection in records_of(INTAKE.process([csv_notices([csv_row(**overrides)])]), "rejected.juki-cs"):
        assert rejection["reason"] == SENTENCES[ValidationCode(rejection["code"])]
        assert rejection["municipality"] == "131041"
        position, _, digest = rejection["id"].partition("#")
        assert position.startswith("in.juki-cs.131041/0/")
        assert digest
        assert set(digest) <= set("0123456789abcdef")
        assert rejection["notice"] in (csv_row()["notice"], None)


def test_every_validation_code_has_a_sentence_in_both_languages() -> None:
    """A clerk reads the Japanese sentence, and somebody who helps the clerk the English one."""
    for code in ValidationCode:
        japanese, _, english = code.sentence.partition("。 ")
        assert japanese
        assert english.isascii() or any(term in english for term in "（(")
        assert english.endswith(".")
