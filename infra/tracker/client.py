"""Client of the running tracker's HTTP interface."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson

from infra.errors import OperatorError

TIMEOUT_S = 10.0
ADDRESS_FILE = "tracker.json"


class NoCaseError(OperatorError):
    """The tracker has no case of this municipality and number."""


class Tracker:
    """The tracker of one MESH_HOME. Every call raises OperatorError if it isn't running or doesn't answer."""

    def __init__(self, folder: Path, token: str) -> None:
        self._file = folder / ADDRESS_FILE
        self._token = token

    def summary(self) -> dict[str, Any]:
        """Return counts by status and seconds from submission to the last store, as `infra.tracker.cases.summary`."""
        return dict(self._ask("/summary"))

    def cases(self, statuses: str) -> list[dict[str, Any]]:
        """Return the oldest cases of these statuses, which are separated by commas."""
        return list(self._ask(f"/cases?status={urllib.parse.quote(statuses, safe=',')}"))

    def case(self, municipality: str, notice: str) -> dict[str, Any]:
        """Return one case. Raise NoCaseError where there is none."""
        return dict(self._ask(f"/cases/{urllib.parse.quote(municipality)}/{urllib.parse.quote(notice)}"))

    def _ask(self, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the tracker wrote the address
            self._url() + path, headers={"Authorization": f"Bearer {self._token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                raise NoCaseError("the tracker has no such case") from error
            raise OperatorError(f"tracker: {json.load(error)['error']}") from error
        except OSError as error:
            raise OperatorError("the tracker doesn't answer: start it with `mesh run tracker`") from error

    def _url(self) -> str:
        try:
            return str(orjson.loads(self._file.read_bytes())["url"])
        except FileNotFoundError:
            raise OperatorError("the tracker isn't running here: start it with `mesh run tracker`") from None
