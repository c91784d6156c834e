"""Intake: validates the format of submissions and the rights of their submitters, and replaces codes by mesh codes.

`processor` is the step; `submission_types` lists the schemas of submissions. `submissions` has the submitter and origin
of each; `csv_notices`, `json_notices`, `persons` and `declared_events` read and validate them, by `formats` and
`validation`; `accepted` and `rejected_submissions` make the records to publish. `resubmissions` and
`dead_letter_commands` process operator commands.
"""

from processors.intake.processor import IntakeProcessor

__all__ = ["IntakeProcessor"]
