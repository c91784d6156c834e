"""The keys of submissions of the high level: submitters seal by a public key, a file without secrets."""

from __future__ import annotations

import base64
import binascii

import orjson

from infra.apply.installation import Installation
from infra.errors import OperatorError
from infra.key_file import high_sealer
from infra.local.home import write_json
from streams.submission_sealing import SubmissionOpener, SubmissionSealer


def write_submission_key(installation: Installation) -> None:
    """Write the public key that belongs to the keys of the high level, if the file has another one or is missing."""
    key = base64.b64encode(submission_opener(installation).public_key).decode()
    content = {"version": 1, "x25519": key}
    file = installation.submission_key
    if not file.exists() or orjson.loads(file.read_bytes()) != content:
        write_json(file, content)


def submission_opener(installation: Installation) -> SubmissionOpener:
    """Return what opens submissions of the high level. Raise KeyFileError."""
    return SubmissionOpener(high_sealer(installation.key_file).keys)


def submission_sealer(installation: Installation) -> SubmissionSealer:
    """Return the sealer of a submitter. Raise OperatorError where the file of the key is missing or malformed."""
    file = installation.submission_key
    try:
        return SubmissionSealer(base64.b64decode(orjson.loads(file.read_bytes())["x25519"], validate=True))
    except FileNotFoundError:
        raise OperatorError(
            f"{file.name} is missing in {installation.folder}, so nothing can be sealed: run `mesh apply`, or copy it"
        ) from None
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise OperatorError(f"{file.name} in {installation.folder} is malformed: run `mesh apply`") from None
