"""Batch size that adapts to transactions that fail."""

from __future__ import annotations

from typing import Final

#: Transactions that must succeed before the batch size is doubled again.
_SUCCESSES_TO_GROW: Final = 5


class AdaptiveBatchSize:
    """Halves the batch size after each failed transaction, and doubles it again after some successful ones."""

    def __init__(self) -> None:
        self._halvings, self._succeeded = 0, 0

    def failed(self) -> None:
        """Halve the size."""
        self._halvings, self._succeeded = self._halvings + 1, 0

    def succeeded(self) -> None:
        """Count a success; after `_SUCCESSES_TO_GROW` of them double the size."""
        self._succeeded += 1
        if self._halvings and self._succeeded >= _SUCCESSES_TO_GROW:
            self._halvings, self._succeeded = self._halvings - 1, 0

    def scale(self, maximum: int) -> int:
        """Return the present share of `maximum`, at least 1."""
        return max(1, maximum >> self._halvings)
