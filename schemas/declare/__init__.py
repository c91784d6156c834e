"""What a system's declaration can say about kinds of facts: entities, their fields and events, and who receives them.

Declarations are data. Topics, Avro schemas, tables and checks follow from them; see docs/systems.md.
"""

from schemas.declare.coarser import Coarser, OneOf, Steps
from schemas.declare.column_names import COMMON_NAMES
from schemas.declare.derived_entities import ACCOUNT, REGISTRATION, RESIDENT
from schemas.declare.entities import PART, Amendment, Consequence, Entity, FollowsEntity, Rules
from schemas.declare.entity_events import (
    CANCELLED,
    ENROLLED,
    MEMBERS,
    MEMBERS_MAX,
    Effect,
    Event,
    TakesOver,
    changes,
    closes,
    opens,
)
from schemas.declare.entity_fields import (
    FREE_TEXT,
    DeclarationError,
    EntityField,
    choice,
    day,
    digits,
    flags,
    person_ref,
    text,
    yen,
)
from schemas.declare.entity_rules import (
    AtMostOneInForce,
    ByResidence,
    Cause,
    Expires,
    FinalValue,
    Follows,
    Invariant,
    Level,
    OfResidenceOn,
)
from schemas.declare.reads import RESERVED_TABLES, Coverage, Enrolled, HeldBy, Reads, history_of

__all__ = [
    "ACCOUNT",
    "CANCELLED",
    "COMMON_NAMES",
    "ENROLLED",
    "FREE_TEXT",
    "MEMBERS",
    "MEMBERS_MAX",
    "PART",
    "REGISTRATION",
    "RESERVED_TABLES",
    "RESIDENT",
    "Amendment",
    "AtMostOneInForce",
    "ByResidence",
    "Cause",
    "Coarser",
    "Consequence",
    "Coverage",
    "DeclarationError",
    "Effect",
    "Enrolled",
    "Entity",
    "EntityField",
    "Event",
    "Expires",
    "FinalValue",
    "Follows",
    "FollowsEntity",
    "HeldBy",
    "Invariant",
    "Level",
    "OfResidenceOn",
    "OneOf",
    "Reads",
    "Rules",
    "Steps",
    "TakesOver",
    "changes",
    "choice",
    "closes",
    "day",
    "digits",
    "flags",
    "history_of",
    "opens",
    "person_ref",
    "text",
    "yen",
]
