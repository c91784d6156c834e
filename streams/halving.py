"""How much is done at once: less after what took too long, and more again, by and by, after what didn't."""

from __future__ import annotations

from typing import Final

#: So many have to go well before twice as much is tried.
_WELL: Final = 5


class Halving:
    """Halves, once for each that failed."""

    def __init__(self) -> None:
        self._shift, self._well = 0, 0

    def failed(self) -> None:
        """The next has half as much."""
        self._shift, self._well = self._shift + 1, 0

    def went_well(self) -> None:
        """After some of these the next has twice as much."""
        self._well += 1
        if self._shift and self._well >= _WELL:
            self._shift, self._well = self._shift - 1, 0

    def of(self, most: int) -> int:
        """What is left of so many; at least one."""
        return max(1, most >> self._shift)
