"""時計: the days. Each is a submission like any other, so a replay derives what they begin again."""

from schemas.systems.model import Scope, System

SYSTEM = System("clock", "時計", Scope.NATIONAL, publishes="day-begun")
