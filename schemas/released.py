"""Released Avro files are never changed: their hashes stand in `schemas/avro/released.json`, and a test compares.

`python -m schemas.released` releases the files that are new, and refuses to take a changed one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib import resources
from pathlib import Path

from schemas.schema_files import schema_names, schema_text, versions

_FILE = "released.json"


def hashes() -> dict[str, str]:
    """SHA-256 of every file as it is now, by `<name>/v<n>`."""
    return {
        f"{name}/v{version}": hashlib.sha256(schema_text(name, version).encode()).hexdigest()
        for name in schema_names()
        for version in versions(name)
    }


def released() -> dict[str, str]:
    """SHA-256 of every released file, as it was then."""
    found: dict[str, str] = json.loads(
        (resources.files("schemas") / "avro" / _FILE).read_text(encoding="utf-8")
    )
    return found


def changed() -> list[str]:
    """Released files that aren't any more what they were; a missing file is one of them."""
    now = hashes()
    return sorted(name for name, digest in released().items() if now.get(name) != digest)


def main() -> int:
    """Releases the new files; 1 where a released one was changed."""
    if broken := changed():
        sys.stderr.write(f"changed since released, add a version instead: {', '.join(broken)}\n")
        return 1
    path = Path(str(resources.files("schemas") / "avro" / _FILE))
    path.write_text(json.dumps(released() | hashes(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
