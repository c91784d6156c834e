"""Fan-out: folds each person's history in the order of effect and publishes the differences to the domains.

`processor` is the step, `person` the aggregate. `fold` turns a `history` into a `person_state`: `effective_order`
orders the notices of one day, `person_notices` and `domains` apply a notice, `enrolments` and `accounts` the rest.
`differences`, `messages` and `conflicts` compare two states; `fan_out_outputs` makes the records to publish.
`serialization` converts persons to and from the records of the state stores.
"""

from processors.fan_out.processor import FanOutProcessor

__all__ = ["FanOutProcessor"]
