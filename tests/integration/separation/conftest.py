"""One city for all tests of this folder, on servers of its own whose logs can be read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.separation.city import IsolatedCity, ingested_in


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedCity]:
    """Yield the city after every file and every faulty record was processed."""
    with ingested_in(tmp_path_factory.mktemp("separation")) as isolated_city:
        yield isolated_city
