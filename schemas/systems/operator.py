"""The officers' desk: what a clerk does with a refused hand-over is itself an event."""

from schemas.systems.model import Scope, System

SYSTEM = System("operator", "職員窓口", Scope.NATIONAL, publishes="operator-command")
