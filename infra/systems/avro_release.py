"""Writing the Avro files of the declarations, and what follows from them."""

from __future__ import annotations

from pathlib import Path

from infra.errors import OperatorError
from infra.systems.declaration_checks import content_faults
from schemas import docs, released
from schemas.catalogue import catalogue
from schemas.generate import write_outdated
from schemas.schema_files import avro_folder


def generate() -> list[Path]:
    """Write the Avro files that are not up to date, release them, and return them.

    `docs/events.md` follows where files of the repository were written. Raise OperatorError, before anything is
    written, where a declaration is faulty or a released file has changed.
    """
    if faults := content_faults():
        raise OperatorError(faults[0])
    if changed := released.changed_files():
        raise OperatorError(f"{changed[0]}.avsc was changed after its release: restore it")
    try:
        files = write_outdated()
        released.release()
        if docs.PATH.exists() and any(file.is_relative_to(avro_folder()) for file in files):
            docs.PATH.write_text(docs.render(catalogue()), encoding="utf-8")
    except OSError as error:
        raise OperatorError(f"{error.filename} can't be written ({error.strerror})") from error
    return files
