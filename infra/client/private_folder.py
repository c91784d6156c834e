"""A folder of files with passwords, which only its owner may enter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from infra.errors import OperatorError
from infra.local.home import write_private


def write_files(folder: Path, files: Mapping[str, str], *, force: bool) -> list[Path]:
    """Write files by name into a folder, each readable by its owner only, and return their paths.

    Raise OperatorError, before anything is written, if others may enter the folder, if one of the files exists and
    `force` is false, or if the folder can't be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            raise OperatorError(
                f"other users may enter {folder}: run `chmod 700` on it, or name another folder"
            )
        existing = [name for name in files if (folder / name).exists()]
        if existing and not force:
            raise OperatorError(f"{', '.join(existing)} exists in {folder}: use --force to replace it")
        for name, content in files.items():
            write_private(folder / name, content.encode())
    except OSError as error:
        raise OperatorError(f"{folder} can't be used: {error.strerror}") from error
    return [folder / name for name in files]
