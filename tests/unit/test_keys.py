"""The key file: made once, read by its owner alone, and shown to nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.errors import KeyFileError
from infra.keys import KEY_NAMES, ensure_keys, load_keys


def test_keys_are_made_once(tmp_path: Path) -> None:
    """A second time nothing changes; a name that comes later gets its own; all are different."""
    file = tmp_path / "mesh" / "keys.json"
    ensure_keys(file, ["mesh", "digest"])
    with pytest.raises(KeyFileError, match="has no key for card, care"):
        load_keys(file)
    before = json.loads(file.read_bytes())["keys"]
    first = ensure_keys(file)
    assert ensure_keys(file).keys == first.keys == load_keys(file).keys
    assert set(first.keys) == set(KEY_NAMES)
    after = json.loads(file.read_bytes())["keys"]
    assert {name: after[name] for name in before} == before
    assert file.stat().st_mode & 0o777 == 0o600


def test_there_must_be_a_file(tmp_path: Path) -> None:
    """And the message says how to get one."""
    with pytest.raises(KeyFileError, match="mesh apply"):
        load_keys(tmp_path / "keys.json")


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Keys in sight of others are no keys."""
    file = tmp_path / "keys.json"
    ensure_keys(file)
    file.chmod(0o640)
    with pytest.raises(KeyFileError, match="0600"):
        load_keys(file)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2, "keys": {}}', '{"version": 1, "keys": {"mesh": ["c2VjcmV0"]}}']
)
def test_what_is_no_key_file_stays_as_it_is(tmp_path: Path, content: str) -> None:
    """It isn't written over, and what stands in it isn't shown."""
    file = tmp_path / "keys.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match="not of the form") as error:
        ensure_keys(file)
    assert "c2Vj" not in str(error.value)
    assert file.read_text() == content
