"""The first file of a new system: an entity with two events, and a reading of it, to be edited."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Final

from infra.errors import OperatorError
from infra.systems.declaration_checks import id_fault
from schemas import systems
from schemas.characters import HIDDEN
from schemas.systems import SYSTEMS
from schemas.systems.model import DIGEST_PURPOSE_BYTES_MAX, Scope

FOLDER: Final = Path(systems.__file__).parent
JAPANESE_MAX: Final = 40

_TEMPLATE: Final = '''\
"""{japanese}: has the entries that it submits itself. Say here what the system is for."""

from schemas.declare import {imports}
from schemas.systems.model import Domain, Scope, System, rules_of, submission_schema

#: The act and article on which the reading is based; residents see it. Put the real one here.
BASIS = "根拠となる法令と条項"

#: A kind of fact about a person: the fields, and the events that tell of it.
ENTRY = Entity(
    "{id}-entry",
    "{japanese}の登録",
    key=({key},),
    fields=(
        text("reference", "整理番号", 32, "^[A-Za-z0-9-]{{1,32}}$"),
        choice("kind", "種別", "standard", "other"),
    ),
    events=(
        opens("EntryOpened", "登録", "kind"),
        closes("EntryClosed", "抹消"),
    ),
)

DOMAIN = Domain(
    id="{id}",
    scope=Scope.{scope},
    columns=(),
    rules=rules_of((), {{}}, ""),
    legal_basis=BASIS,
    reads=(Reads("{table}", ENTRY, ("kind",), purpose="{japanese}の管理", basis=BASIS),),
)
SYSTEM = System(
    "{id}",
    "{japanese}",
    Scope.{scope},
    publishes=submission_schema("{id}"),
    domain=DOMAIN,
    owns=(ENTRY,),
)
'''


def first_file(id_: str, scope: Scope, japanese: str) -> str:
    """Return the text of the first file of a system."""
    is_municipal = scope is Scope.MUNICIPAL
    return _TEMPLATE.format(
        id=id_,
        japanese=japanese,
        scope=scope.value,
        table=f"{id_.replace('-', '_')}_entry",
        imports="PART, Entity, Reads, choice, closes, opens, text"
        if is_municipal
        else "Entity, Reads, choice, closes, opens, text",
        key='PART, "reference"' if is_municipal else '"reference"',
    )


def write_first_file(id_: str, scope: Scope, japanese: str, folder: Path = FOLDER) -> Path:
    """Write the first file of a system and return its path. Raise OperatorError where the id or the name can't be used.

    An existing file is never overwritten.
    """
    _require_usable(id_, japanese)
    file = folder / f"{id_.replace('-', '_')}.py"
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(first_file(id_, scope, japanese))
    except FileExistsError:
        raise OperatorError(f"{file} exists already: choose another id") from None
    except OSError as error:
        raise OperatorError(f"{file} can't be written ({error.strerror})") from error
    return file


def _require_usable(id_: str, japanese: str) -> None:
    if id_ in SYSTEMS:
        raise OperatorError(f"there is a system {id_} already; there are: {', '.join(SYSTEMS)}")
    if fault := id_fault(id_):
        raise OperatorError(fault)
    if len(id_) > DIGEST_PURPOSE_BYTES_MAX or keyword.iskeyword(id_):
        raise OperatorError(
            f"{id_} can't be the id of a system: it must have at most {DIGEST_PURPOSE_BYTES_MAX} characters, "
            "and be no word of Python"
        )
    if (
        not japanese.strip()
        or len(japanese) > JAPANESE_MAX
        or HIDDEN.search(japanese)
        or set(japanese) & set('"\\')
    ):
        raise OperatorError(
            f"--japanese must be a name of 1 to {JAPANESE_MAX} visible characters without quotes and backslashes"
        )
