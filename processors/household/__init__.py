"""Household: what each register's list makes of a notice, and whom it concerns.

`processor` is the step; `decide` holds the rules; `register` is what a municipality's list says so far; `local` is one
person's part of it.
"""

from processors.household.processor import HouseholdProcessor

__all__ = ["HouseholdProcessor"]
