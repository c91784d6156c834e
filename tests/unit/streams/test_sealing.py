"""Sealed content of a dead letter can be opened with its key, in its context, and not otherwise."""

from __future__ import annotations

import pytest

from streams.sealing import SealedError, Sealer

OLD, NEW = bytes([1]) * 64, bytes([2]) * 64
SECRET = "ヒミツ　ハナコ".encode()


@pytest.mark.parametrize("content", [b"", b"\x00", SECRET])
def test_sealed_content_can_be_opened(content: bytes) -> None:
    """Any content, even none, can be opened; sealing it again, as a replay does, gives the same bytes."""
    sealed = Sealer([OLD]).seal(content, "fan-out/1/value")
    assert Sealer([OLD]).open(sealed, "fan-out/1/value") == content
    assert SECRET not in sealed
    assert sealed == Sealer([OLD]).seal(content, "fan-out/1/value")


def test_keys_can_be_changed() -> None:
    """The new key seals, the old one still opens what it has sealed, and digests stay the same."""
    sealed = Sealer([OLD]).seal(SECRET, "p")
    both = Sealer([NEW, OLD])
    assert both.open(sealed, "p") == SECRET
    assert both.seal(SECRET, "p") == Sealer([NEW]).seal(SECRET, "p") != sealed
    assert both.digest(SECRET) == Sealer([OLD]).digest(SECRET) != Sealer([NEW]).digest(SECRET)


@pytest.mark.parametrize(
    ("key", "context", "missing_bytes"), [(NEW, "p", 0), (OLD, "q", 0), (OLD, "p", 1), (OLD, "p", 99)]
)
def test_another_key_another_context_or_changed_content_cannot_be_opened(
    key: bytes, context: str, missing_bytes: int
) -> None:
    """The error doesn't quote the content."""
    sealed = Sealer([OLD]).seal(SECRET, "p")
    with pytest.raises(SealedError) as caught:
        Sealer([key]).open(sealed[: len(sealed) - missing_bytes], context)
    assert SECRET.decode() not in str(caught.value)


def test_equal_content_is_sealed_differently_in_different_contexts() -> None:
    """Sealed content doesn't show which dead letters have equal content."""
    sealer = Sealer([OLD])
    assert sealer.seal(SECRET, "p") != sealer.seal(SECRET, "q")
