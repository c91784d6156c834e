"""One city for all tests of this folder: taken in once, on servers of its own whose logs can be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.separation.city import IsolatedCity, running


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedCity]:
    """Every file and every bad record has gone through."""
    with running(tmp_path_factory.mktemp("separation")) as found:
        yield found
