"""Keys of the form `<group>/<rest>` in the order of their groups, for `streams.state`.

The keys are in sorted lists of limited length, as in the library sortedcontainers: a change moves only one of them.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import itemgetter
from typing import Final

#: Texts in a chunk after it was cut in two.
_CHUNK: Final = 1_000
_last = itemgetter(-1)
#: No group is after this text.
_AFTER_ALL: Final = chr(sys.maxunicode)


class KeyIndex:
    """Different keys; a key without `/` is its own group.

    Only keys of groups that `first` was asked for are sorted. These are few: most entries of an agenda are for days
    that are years away.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._by_group: dict[str, _SortedTexts] = {}
        self._groups = _SortedTexts(())
        #: The keys of all groups after `_sorted_until`.
        self._unsorted: set[str] = set()
        self._sorted_until = ""
        for key in keys:
            self.add(key)

    def add(self, key: str) -> None:
        """Add a key that isn't there."""
        group = _group(key)
        if group > self._sorted_until:
            self._unsorted.add(key)
        else:
            self._add_sorted(group, (key,))

    def _add_sorted(self, group: str, keys: Iterable[str]) -> None:
        of_group = self._by_group.get(group)
        if of_group is None:
            self._by_group[group] = _SortedTexts(keys)
            self._groups.add(group)
        else:
            for key in keys:
                of_group.add(key)

    def _sort(self, until: str) -> None:
        """Sort the keys of all groups up to and including `until`."""
        if until <= self._sorted_until:
            return
        by_group: dict[str, list[str]] = {}
        for key in self._unsorted:
            group = _group(key)
            if group <= until:
                by_group.setdefault(group, []).append(key)
        for group, keys in by_group.items():
            self._add_sorted(group, keys)
            self._unsorted.difference_update(keys)
        self._sorted_until = until

    def remove(self, key: str) -> None:
        """Remove a key that is there."""
        group = _group(key)
        if group > self._sorted_until:
            self._unsorted.remove(key)
            return
        self._by_group[group].remove(key)
        if not self._by_group[group]:
            del self._by_group[group]
            self._groups.remove(group)

    def first(self, until: str, limit: int) -> list[str]:
        """Return up to `limit` keys of groups up to and including `until`: by group, then by key."""
        self._sort(until)
        keys: list[str] = []
        for group in self._groups:
            if group > until or len(keys) >= limit:
                break
            keys.extend(islice(self._by_group[group], limit - len(keys)))
        return keys

    def after(self, key: str, limit: int) -> list[str]:
        """Return up to `limit` keys that come after this one, which need not be there. It sorts all keys."""
        self._sort(_AFTER_ALL)
        first = _group(key)
        keys: list[str] = []
        for group in self._groups.from_text(first):
            of_group = self._by_group[group]
            later = of_group.from_text(key) if group == first else iter(of_group)
            keys.extend(islice((each for each in later if each != key), limit - len(keys)))
            if len(keys) >= limit:
                break
        return keys


class _SortedTexts:
    """Different texts in their order. A change takes time with the length of one chunk, not with that of all."""

    __slots__ = ("_chunks",)

    def __init__(self, texts: Iterable[str]) -> None:
        ordered = sorted(texts)
        #: None is empty; there is none if there are no texts.
        self._chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._chunks)

    def from_text(self, text: str) -> Iterator[str]:
        """Yield the texts that aren't before this one."""
        number = self._find(text)
        if number < len(self._chunks):
            chunk = self._chunks[number]
            yield from islice(chunk, bisect_left(chunk, text), None)
            yield from chain.from_iterable(islice(self._chunks, number + 1, None))

    def add(self, text: str) -> None:
        if not self._chunks:
            self._chunks.append([text])
            return
        # A text after all others goes to the last chunk.
        number = min(self._find(text), len(self._chunks) - 1)
        chunk = self._chunks[number]
        insort(chunk, text)
        if len(chunk) > 2 * _CHUNK:
            self._chunks[number : number + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]

    def remove(self, text: str) -> None:
        number = self._find(text)
        chunk = self._chunks[number]
        del chunk[bisect_left(chunk, text)]
        if not chunk:
            del self._chunks[number]

    def _find(self, text: str) -> int:
        """Return the number of the first chunk that doesn't end before the text."""
        return bisect_left(self._chunks, text, key=_last)


def _group(key: str) -> str:
    return key.partition("/")[0]
