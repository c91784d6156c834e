"""What letters hold is read by who has the key, at the place it was sealed for, and nowhere else."""

from __future__ import annotations

import pytest

from streams.sealing import SealedError, Sealer

OLD, NEW = bytes([1]) * 64, bytes([2]) * 64
SECRET = "ヒミツ　ハナコ".encode()


@pytest.mark.parametrize("content", [b"", b"\x00", SECRET])
def test_what_is_sealed_is_opened(content: bytes) -> None:
    """Whatever it is, also nothing; and it can't be read as it is."""
    sealed = Sealer([OLD]).seal(content, "fan-out/1/value")
    assert Sealer([OLD]).open(sealed, "fan-out/1/value") == content
    assert SECRET not in sealed
    assert sealed == Sealer([OLD]).seal(content, "fan-out/1/value"), "a replay gives the same"


def test_a_key_can_be_changed() -> None:
    """The new one seals, the old one opens still what it sealed; names stay as they were."""
    sealed = Sealer([OLD]).seal(SECRET, "p")
    both = Sealer([NEW, OLD])
    assert both.open(sealed, "p") == SECRET
    assert both.seal(SECRET, "p") == Sealer([NEW]).seal(SECRET, "p") != sealed
    assert both.digest(SECRET) == Sealer([OLD]).digest(SECRET) != Sealer([NEW]).digest(SECRET)


@pytest.mark.parametrize(
    ("key", "place", "cut"), [(NEW, "p", 0), (OLD, "q", 0), (OLD, "p", 1), (OLD, "p", 99)]
)
def test_what_is_not_as_it_was_sealed_is_not_opened(key: bytes, place: str, cut: int) -> None:
    """Another key, another place, or a byte less; the error holds nothing of it."""
    sealed = Sealer([OLD]).seal(SECRET, "p")
    with pytest.raises(SealedError) as caught:
        Sealer([key]).open(sealed[: len(sealed) - cut], place)
    assert SECRET.decode() not in str(caught.value)


def test_the_same_content_looks_different_at_two_places() -> None:
    """Nobody sees that two letters hold the same."""
    sealer = Sealer([OLD])
    assert sealer.seal(SECRET, "p") != sealer.seal(SECRET, "q")
