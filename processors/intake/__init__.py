"""Intake: what agencies hand over, held to its form and to who may say it, in the mesh's own codes.

`processor` is the step; `kinds` lists the kinds of hand-overs; `forms` holds the form of every column, `faults` what is
refused and why; `filed` says who speaks, `desk` what an officer sends again.
"""

from processors.intake.processor import IntakeProcessor

__all__ = ["IntakeProcessor"]
