"""職員窓口: operator commands. They are submissions like any other, so a replay repeats them."""

from schemas.systems.model import Scope, System

SYSTEM = System("operator", "職員窓口", Scope.NATIONAL, publishes="operator-command")
