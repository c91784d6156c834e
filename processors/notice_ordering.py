"""Ordering keys of a notice: its persons, its number, and the residents of the households that it changes.

A notice about a whole household affects all persons who live there at the moment it is processed. So it waits while an
earlier record may still change who lives there, and a later notice that moves a person into the household waits for
it. Notices of two members of one household don't wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streams.contract import OrderingKeys


@dataclass(frozen=True)
class NoticeScope:
    """The persons, notices and households that a notice affects; a missing one is None.

    `numbers` are the notice's own number and the number of the notice it cancels. `households_joined` are those into
    which it moves persons, `households_left` those in which its persons live now. `household` is set if the notice is
    about all residents of that household instead of named persons.
    """

    persons: Iterable[str | None] = ()
    numbers: Iterable[str | None] = ()
    households_joined: Iterable[str | None] = ()
    households_left: Iterable[str | None] = ()
    household: str | None = None


def ordering_keys_of(scope: NoticeScope) -> OrderingKeys:
    """Return the keys that a notice waits for, and those that it blocks while it is in the dead-letter queue.

    `residents:H` represents the residents of household H: every notice that may change them blocks this key, and a
    notice that depends on them waits for it. `joining:H` makes a move into H wait for an earlier notice
    about all residents of H.
    """
    own = [*_keys("person", scope.persons), *_keys("notice", scope.numbers)]
    household = [scope.household]
    waits_for = [*own, *_keys("joining", scope.households_joined), *_keys("residents", household)]
    changed = _keys("residents", (*scope.households_joined, *scope.households_left, *household))
    return OrderingKeys(waits_for, [*own, *changed, *_keys("joining", household)])


def _keys(kind: str, names: Iterable[str | None]) -> list[str]:
    return [f"{kind}:{name}" for name in dict.fromkeys(names) if name]
