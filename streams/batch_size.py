"""How much is done at once: less after what took too long, and more again, by and by, after what didn't."""

from __future__ import annotations

from typing import Final

#: So many have to go well before twice as much is tried.
_SUCCESSES_TO_GROW: Final = 5


class AdaptiveBatchSize:
    """Halves, once for each that failed."""

    def __init__(self) -> None:
        self._shift, self._succeeded = 0, 0

    def failed(self) -> None:
        """The next has half as much."""
        self._shift, self._succeeded = self._shift + 1, 0

    def succeeded(self) -> None:
        """After some of these the next has twice as much."""
        self._succeeded += 1
        if self._shift and self._succeeded >= _SUCCESSES_TO_GROW:
            self._shift, self._succeeded = self._shift - 1, 0

    def scale(self, most: int) -> int:
        """What is left of so many; at least one."""
        return max(1, most >> self._shift)
