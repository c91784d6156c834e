"""Released Avro files never change: a test compares them with their hashes in `released.json` beside them.

`python -m schemas.released` adds the hashes of new files. It fails if a released file has changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from schemas.schema_files import avro_folders, names_in, schema_names, schema_text, versions

_FILE = "released.json"


def current_hashes() -> dict[str, str]:
    """Return the SHA-256 of every present file, by `<name>/v<n>`."""
    return {
        f"{name}/v{version}": hashlib.sha256(schema_text(name, version).encode()).hexdigest()
        for name in schema_names()
        for version in versions(name)
    }


def released_hashes() -> dict[str, str]:
    """Return the SHA-256 of every file at its release, by `<name>/v<n>`."""
    by_file: dict[str, str] = {}
    for folder in avro_folders():
        by_file |= _released_in(folder)
    return by_file


def changed_files() -> list[str]:
    """Return the released files that have changed or are missing."""
    now = current_hashes()
    return sorted(name for name, digest in released_hashes().items() if now.get(name) != digest)


def release() -> None:
    """Add the hashes of new files to the list of each folder that has some."""
    hashes = current_hashes()
    for folder in avro_folders():
        names, released = names_in(folder), _released_in(folder)
        current = {file: digest for file, digest in hashes.items() if file.partition("/")[0] in names}
        if new := {file: digest for file, digest in current.items() if file not in released}:
            text = json.dumps(released | new, indent=2, sort_keys=True)
            (folder / _FILE).write_text(f"{text}\n", encoding="utf-8")


def _released_in(folder: Path) -> dict[str, str]:
    file = folder / _FILE
    by_file: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return by_file


def main() -> int:
    """Release the new files. Return 1 if a released one has changed."""
    if changed := changed_files():
        sys.stderr.write(
            f"released schemas have changed: {', '.join(changed)}. Restore them and add a new version instead.\n"
        )
        return 1
    release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
