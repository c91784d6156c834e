"""Other declarations during a run: `apply_declarations` gives them the next number, as `mesh apply` does.

Those with an even number are of before: workers that start with them read some entities otherwise. Those with an odd
number are the ones that are installed.
"""

from __future__ import annotations

from typing import Final

from infra.apply.applied_declarations import AppliedDeclarations, applied_number, write_applied
from infra.apply.installation import Installation
from processors.fan_out import FanOutProcessor
from processors.fan_out.declared import Declared
from schemas.declaration_digests import RULES, digest_of_all
from schemas.declare import RESIDENT
from schemas.systems.card import CARD
from schemas.systems.care import CERTIFICATION
from schemas.systems.jpki import CERTIFICATE
from streams.high_level import HighSealer
from tests.simulation.declarations import absent, former_declarations, of_everybody, without_history

#: What is another reading by the declarations of before.
_CHANGES: Final = {
    CARD.id: without_history,
    CERTIFICATE.id: absent,
    CERTIFICATION.id: absent,
    RESIDENT.id: of_everybody,
}
FAN_OUT: Final = "fan-out"


def apply_declarations(installation: Installation) -> int:
    """Install the next declarations, and return their number. Workers that start from now on have them."""
    number = applied_number(installation) + 1
    write_applied(installation, AppliedDeclarations(number=number, digest=digest_of_all(), is_submitted=True))
    return number


def are_former(number: int) -> bool:
    """Return whether the declarations of this number are those of before."""
    return number % 2 == 0


def fan_out_processor(declarations: int, sealer: HighSealer) -> FanOutProcessor:
    """Return the processor of a worker that starts with the declarations of this number."""
    former = are_former(declarations)
    declared = former_declarations(_CHANGES, [RULES]) if former else Declared()
    return FanOutProcessor(declarations, declared, sealer)
