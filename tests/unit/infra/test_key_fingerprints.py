"""The keys of an installation stay what they are, and their fingerprints reveal nothing. See also tests/attacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.errors import KeyFileError
from infra.key_file import Keys
from infra.key_fingerprints import fingerprints, not_configured, require_present, require_unchanged
from infra.run.logs import drop_unsafe

FILE = Path("/home/keys.json")
ONE, OTHER, THIRD = (bytes([number]) * 64 for number in (1, 2, 3))


@pytest.mark.parametrize(
    "keys", [{"card": (OTHER, ONE)}, {"card": (ONE, OTHER)}, {"card": (OTHER,)}, {"card": ()}]
)
def test_a_changed_list_is_an_error(keys: Keys) -> None:
    """A key in front, a key behind, another key, and none: each gives other codes or loses some."""
    recorded = fingerprints({"card": (ONE,), "care": (THIRD,)})
    with pytest.raises(KeyFileError, match=r"the keys of card in keys\.json are not those"):
        require_unchanged({**keys, "care": (THIRD,)}, recorded, FILE)


def test_the_order_of_keys_counts() -> None:
    """The first key encrypts."""
    with pytest.raises(KeyFileError):
        require_unchanged({"card": (OTHER, ONE)}, fingerprints({"card": (ONE, OTHER)}), FILE)


def test_a_key_of_a_new_name_is_accepted() -> None:
    """A new domain has no recorded key."""
    recorded = fingerprints({"card": (ONE,)})
    require_unchanged({"card": (ONE,), "library": (OTHER,)}, recorded, FILE)
    require_present(["card", "library"], {"card": (ONE,)}, recorded, FILE)


def test_a_missing_key_that_is_recorded_is_an_error() -> None:
    """A new one would give other codes, so none is made."""
    with pytest.raises(
        KeyFileError, match=r"keys\.json has no key of card although this installation uses one"
    ):
        require_present(["card"], {}, fingerprints({"card": (ONE,)}), FILE)


def test_a_fingerprint_reveals_nothing() -> None:
    """It is a digest under the key itself, and equal keys of two names have different ones."""
    found = fingerprints({"card": (ONE,), "care": (ONE,)})
    assert found["card"] != found["care"]
    assert all(re.fullmatch("[0-9a-f]{32}", fingerprint) for (fingerprint,) in found.values())


def test_the_sentence_passes_into_the_log_of_a_worker() -> None:
    """However many names have changed: it is short, and has the alphabet of logs."""
    keys: Keys = {f"domain-{number}": (bytes([number]) * 64,) for number in range(1, 10)}
    changed = {name: (THIRD, *versions) for name, versions in keys.items()}
    with pytest.raises(KeyFileError, match="domain-1 and 8 more") as other:
        require_unchanged(changed, fingerprints(keys), FILE)
    with pytest.raises(KeyFileError, match="domain-1 and 8 more") as lost:
        require_present(list(keys), {}, fingerprints(keys), FILE)
    for error in (other, lost):
        line = {"event": "worker.stopped", "reason": str(not_configured(error.value))}
        assert drop_unsafe(None, "error", dict(line)) == line
