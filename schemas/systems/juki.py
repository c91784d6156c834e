"""住基: a municipality's resident register that publishes its notices itself, one JSON line each."""

from schemas.declare import REGISTRATION, RESIDENT
from schemas.systems.model import Scope, System

SYSTEM = System(
    "juki",
    "住民基本台帳",
    Scope.MUNICIPAL,
    publishes="juki-notice",
    digest_purpose="juki",
    derives=(RESIDENT, REGISTRATION),
)
