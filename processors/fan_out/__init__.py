"""Fan-out: a person's history, folded in the order of effect; the differences go to the domains.

`processor` is the step. `history` and `view` are the two sides of the fold, `fold` goes from one to the other by
way of `order` (same day), `notices` and `domains` (what a notice does), `enrolments`, `accounts`. `differences`,
`messages` and `conflicts` say what follows for whom; `person` and `stored` are what is kept.
"""

from processors.fan_out.processor import FanOutProcessor

__all__ = ["FanOutProcessor"]
