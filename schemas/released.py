"""Released Avro files never change: a test compares them with their hashes in `schemas/avro/released.json`.

`python -m schemas.released` adds the hashes of new files. It fails if a released file has changed.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import resources
from pathlib import Path

from schemas.schema_files import schema_names, schema_text, versions

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
    by_file: dict[str, str] = json.loads(
        (resources.files("schemas") / "avro" / _FILE).read_text(encoding="utf-8")
    )
    return by_file


def changed_files() -> list[str]:
    """Return the released files that have changed or are missing."""
    now = current_hashes()
    return sorted(name for name, digest in released_hashes().items() if now.get(name) != digest)


def main() -> int:
    """Release the new files. Return 1 if a released one has changed."""
    if changed := changed_files():
        sys.stderr.write(
            f"released schemas have changed: {', '.join(changed)}. Restore them and add a new version instead.\n"
        )
        return 1
    path = Path(str(resources.files("schemas") / "avro" / _FILE))
    path.write_text(
        json.dumps(released_hashes() | current_hashes(), indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
