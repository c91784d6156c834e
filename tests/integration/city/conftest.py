"""Servers and an installation for the tests of this folder; each test begins anew on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.place import Place, running


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Servers of this folder's own, with MESH_HOME set for as long as its tests run."""
    with running(tmp_path_factory.mktemp("city") / "home") as place:
        yield place
