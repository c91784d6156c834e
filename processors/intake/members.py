"""The persons of submissions of which some name several: one in `code`, or several in `members`.

Whatever is wrong with one member rejects the whole submission. Once it is accepted, each member has a record with the
same number, and all of them the digest of all members: a cancellation must name the same persons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from processors.columns import list_offsets, row_indices
from processors.intake import canonical, declared_codes, formats
from processors.intake.csv_notices import is_repeated_person
from processors.intake.validation import RuleCheck
from processors.intake.validation_codes import ValidationCode
from schemas.declare import MEMBERS_MAX, EntityField

_DIGEST_BYTES: Final = 15


@dataclass(frozen=True)
class Members:
    """The persons of each submission: `lists` as submitted, and `codes`, each of which may be given instead."""

    lists: pa.ListArray
    codes: pa.Array

    @cached_property
    def lengths(self) -> pa.Array:
        """The number of members of each submission (int32); 0 where none are given."""
        return pc.fill_null(pc.list_value_length(self.lists), 0)

    @cached_property
    def are_given(self) -> pa.Array:
        """Whether each submission names members."""
        return pc.greater(self.lengths, 0)

    @cached_property
    def _of_lists(self) -> tuple[pa.Array, pa.Array]:
        """The index of its submission (int64) and the code of each member, in the order of the submissions."""
        return pc.list_parent_indices(self.lists).cast(pa.int64()), self.lists.flatten()

    def checks(
        self, takes_members: pa.Array, is_cancelled: pa.Array, refs: dict[EntityField, pa.Array]
    ) -> Iterator[RuleCheck]:
        """Yield the checks of the persons that each submission names; see `declared_codes` for what they say.

        `takes_members` is whether an event is about several persons; a cancellation may be about one or several. `refs`
        are the values of the fields that name another person.
        """
        several = pc.or_(takes_members, pc.and_(is_cancelled, self.are_given))
        yield declared_codes.MEMBERS_MISSING, pc.or_(pc.invert(takes_members), self.are_given)
        yield declared_codes.MEMBERS_UNEXPECTED, pc.or_(several, pc.invert(self.are_given))
        yield declared_codes.CODE_UNEXPECTED, pc.or_(pc.invert(several), pc.is_null(self.codes))
        has_code = pc.fill_null(formats.is_resident_code(self.codes), False)
        yield ValidationCode.FORM_CODE, pc.or_(several, has_code)
        yield declared_codes.MEMBERS_MANY, pc.less_equal(self.lengths, MEMBERS_MAX)
        parents, members = self._of_lists
        yield declared_codes.MEMBERS_WRONG_FORM, self._in_all(formats.is_resident_code(members))
        yield declared_codes.MEMBERS_REPEATED, self._in_all(pc.invert(is_repeated_person(members, parents)))
        keys = _pairs(parents, members)
        for field, values in refs.items():
            is_member = pc.is_in(_pairs(row_indices(len(values)), values), value_set=keys)
            is_free = pc.or_(pc.invert(several), pc.is_null(values))
            yield declared_codes.no_member(field), pc.or_(is_free, is_member)

    def _in_all(self, passes: pa.Array) -> pa.Array:
        """Return for each submission whether this is true of all its members."""
        parents, _ = self._of_lists
        failing = parents.filter(pc.invert(pc.fill_null(passes, False)))
        return pc.invert(pc.is_in(row_indices(len(self.lists)), value_set=failing))

    def canonical_form(self) -> pa.Array:
        """Return the members of each submission as one string; null where none are given."""
        _, members = self._of_lists
        escaped = canonical.join_columns([members], without_control_characters=False)
        return pc.if_else(self.are_given, canonical.join_rows(escaped, list_offsets(self.lengths)), None)

    @cached_property
    def persons(self) -> tuple[pa.Array, pa.Array]:
        """The index of its submission (int64) and the code of every person, in the order of the submissions."""
        parents, members = self._of_lists
        single = pc.indices_nonzero(pc.invert(self.are_given)).cast(pa.int64())
        rows = pa.concat_arrays([parents, single])
        codes = pa.concat_arrays([members, self.codes.take(single)])
        in_order = pc.sort_indices(rows)
        return rows.take(in_order), codes.take(in_order)

    def digests(self, persons: pa.Array) -> pa.Array:
        """Return for each submission a digest of its members, whatever their order; null where it names one person.

        `persons` are the mesh codes of `persons`. Nobody can guess a mesh code, so the digest needs no key.
        """
        rows, _ = self.persons
        table = pa.table({"row": rows, "person": persons})
        in_order = pc.sort_indices(table, sort_keys=[("row", "ascending"), ("person", "ascending")])
        lengths = pc.max_element_wise(self.lengths, 1)
        joined = canonical.join_rows(persons.take(in_order), list_offsets(lengths))
        several = pc.if_else(pc.greater(self.lengths, 1), joined, None)
        return pa.array([each and _digest(each) for each in several.to_pylist()], pa.string())


def _pairs(rows: pa.Array, codes: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(rows.cast(pa.string()), pc.fill_null(codes, ""), "/")


def _digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).hexdigest()
