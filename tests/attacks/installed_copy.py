"""An installation of the mesh's code apart from the one under test, whose files a test changes as a release does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("connectors", "infra", "processors", "schemas", "streams")
COMMAND_TIMEOUT_S = 240.0
MESH = "from infra.cli import main; main()"


@dataclass(frozen=True)
class InstalledCopy:
    """A Python environment in `folder` with its own copy of the code, and the libraries of this one."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> InstalledCopy:
        """Copy the code and make the environment."""
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, folder / "code" / package, ignore=ignored)
        command = [sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")]
        subprocess.run(command, check=True, timeout=COMMAND_TIMEOUT_S)
        copy = cls(folder)
        # The copy comes first on the path, before the code under test, which is installed as editable.
        libraries = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"
        places = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
        (places / "copy.pth").write_text(f"{copy.code}\n{libraries}\n", "utf-8")
        return copy

    @property
    def code(self) -> Path:
        """The folder of the packages."""
        return self.folder / "code"

    @property
    def python(self) -> str:
        """The interpreter that imports the copy."""
        return str(self.folder / "venv" / "bin" / "python")

    def generation(self) -> str:
        """Return the generation of the copy, by its own interpreter."""
        program = "from infra.run.generation import installed_generation; print(installed_generation())"
        return self.run("-c", program).stdout.strip()

    def mesh(self, *arguments: object, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the copy's `mesh`, with more MESH_* settings than those of this process."""
        return self.run("-c", MESH, *map(str, arguments), settings=settings)

    def run(
        self, *arguments: str, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the copy's interpreter and return its output and exit code."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.python, *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            cwd=self.folder,
            env=inherited | dict(settings or {}),
        )

    def replace(self, file: str, old: str, new: str) -> None:
        """Replace a text that occurs once in a file of the copy."""
        path = self.code / file
        content = path.read_text("utf-8")
        assert content.count(old) == 1, f"{content.count(old)} times in {file}: {old}"
        path.write_text(content.replace(old, new), "utf-8")

    def install(self, name: str, folder: Path, entry_points: str, version: str = "1.0.0") -> None:
        """Install a package, or another version of it, as pip does for development: a path, and metadata."""
        site_packages = next(self.folder.glob("venv/lib/python*/site-packages"))
        (site_packages / f"{name}.pth").write_text(f"{folder}\n", "utf-8")
        for earlier in site_packages.glob(f"{name}-*.dist-info"):
            shutil.rmtree(earlier)
        information = site_packages / f"{name}-{version}.dist-info"
        information.mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
        (information / "METADATA").write_text(metadata, "utf-8")
        (information / "entry_points.txt").write_text(entry_points, "utf-8")

    def add_domain(self, name: str, schema: bool = True) -> None:
        """Declare a domain that is like pension in everything but its name; without its schema on request."""

        def renamed(file: Path) -> str:
            text = file.read_text("utf-8")
            return text.replace("pension", name).replace("Pension", name.capitalize())

        systems, avro = self.code / "schemas" / "systems", self.code / "schemas" / "avro"
        (systems / f"{name}.py").write_text(renamed(systems / "pension.py"), "utf-8")
        if schema:
            (avro / f"domain-{name}").mkdir()
            text = renamed(avro / "domain-pension" / "v1.avsc")
            (avro / f"domain-{name}" / "v1.avsc").write_text(text, "utf-8")
