"""The key file: existing keys never change, and errors show no key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.apply.installation import Installation
from infra.errors import KeyFileError, OperatorError
from infra.key_file import sink_keys
from infra.keys import KEY_NAMES, ensure_keys, load_keys
from infra.run.topology import HIGH_DOMAINS, key_names
from infra.submission_key import submission_opener, submission_sealer, write_submission_key
from schemas.systems import DOMAINS
from schemas.topics import ORDERED_STEPS


def test_existing_keys_never_change(tmp_path: Path) -> None:
    """A second `ensure_keys` only adds keys of new names. The file has mode 0600."""
    file = tmp_path / "mesh" / "keys.json"
    ensure_keys(file, ["mesh", "digest"])
    with pytest.raises(KeyFileError, match="has no key for card and care"):
        load_keys(file)
    before = json.loads(file.read_bytes())["keys"]
    first = ensure_keys(file)
    assert ensure_keys(file).keys == first.keys == load_keys(file).keys
    assert set(first.keys) == set(KEY_NAMES)
    after = json.loads(file.read_bytes())["keys"]
    assert {name: after[name] for name in before} == before
    assert file.stat().st_mode & 0o777 == 0o600


def test_each_step_has_the_keys_that_it_needs(tmp_path: Path) -> None:
    """And no others: of the high level neither household nor a sink has any, and only conversion those of domains."""
    every = ["dead-letter", "digest", "high-level", "mesh", *DOMAINS, *map(sink_keys, HIGH_DOMAINS)]
    assert sorted(every) == sorted(KEY_NAMES)
    names = {step: set(key_names(step)) for step in ORDERED_STEPS}
    assert names == {
        "intake": {"dead-letter", "mesh", "digest", "high-level"},
        "household": {"dead-letter"},
        "fan-out": {"dead-letter", "high-level"},
        "conversion": {"dead-letter", "high-level", *DOMAINS, *map(sink_keys, HIGH_DOMAINS)},
    }
    ensure_keys(tmp_path / "keys.json")
    assert load_keys(tmp_path / "keys.json", ("mesh",)).keys.keys() == {"mesh"}


def test_the_public_key_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    """It belongs to the keys of the high level; who submits needs no secret. Without the file nothing is sealed."""
    installation = Installation(tmp_path)
    with pytest.raises(OperatorError, match="run `mesh apply`, or copy it"):
        submission_sealer(installation)
    ensure_keys(installation.key_file)
    write_submission_key(installation)
    before = installation.submission_key.stat().st_mtime_ns
    write_submission_key(installation)
    assert installation.submission_key.stat().st_mtime_ns == before
    box = submission_sealer(installation).seal(b"content", "in.a")
    assert submission_opener(installation).open(box, "in.a") == b"content"
    installation.submission_key.write_text("{}", "utf-8")
    with pytest.raises(OperatorError, match="malformed"):
        submission_sealer(installation)
    write_submission_key(installation)
    assert submission_opener(installation).open(box, "in.a") == b"content"


def test_a_missing_key_file_is_an_error(tmp_path: Path) -> None:
    """The message names the command that creates it."""
    with pytest.raises(KeyFileError, match="mesh apply"):
        load_keys(tmp_path / "keys.json")


def test_a_key_file_that_other_users_may_read_is_an_error(tmp_path: Path) -> None:
    """The message names the mode that the file must have."""
    file = tmp_path / "keys.json"
    ensure_keys(file)
    file.chmod(0o640)
    with pytest.raises(KeyFileError, match="0600"):
        load_keys(file)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"version": 2, "keys": {}}', '{"version": 1, "keys": {"mesh": ["c2VjcmV0"]}}']
)
def test_a_malformed_key_file_is_not_overwritten(tmp_path: Path, content: str) -> None:
    """It is an error whose message has nothing of the content."""
    file = tmp_path / "keys.json"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match="is malformed") as error:
        ensure_keys(file)
    assert "c2Vj" not in str(error.value)
    assert file.read_text() == content
