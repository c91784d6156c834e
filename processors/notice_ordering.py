"""What must stay in order with a notice: its persons, its number, and who lives in the households it is about.

A notice of a household means whoever lives there when it is listed. So it waits while it is open who that is, and
whoever comes to live there meanwhile waits for it; two members' own notices don't wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streams.contract import OrderingKeys


@dataclass(frozen=True)
class NoticeScope:
    """What a notice is about: `joined` are households it puts persons into, `left` those they live in, `meant` the one
    whose residents it means, `numbers` its own and that of the notice it cancels. Missing ones are None.
    """

    persons: Iterable[str | None] = ()
    numbers: Iterable[str | None] = ()
    joined: Iterable[str | None] = ()
    left: Iterable[str | None] = ()
    meant: str | None = None


def ordering_keys_of(about: NoticeScope) -> OrderingKeys:
    """The strands of a notice; what it waits for, and what it holds while it is set aside."""
    own = [*_named("person", about.persons), *_named("notice", about.numbers)]
    meant = [about.meant]
    waits = [*own, *_named("joining", about.joined), *_named("residents", meant)]
    uncertain = _named("residents", (*about.joined, *about.left, *meant))
    return OrderingKeys(waits, [*own, *uncertain, *_named("joining", meant)])


def _named(kind: str, names: Iterable[str | None]) -> list[str]:
    return [f"{kind}:{name}" for name in dict.fromkeys(names) if name]
