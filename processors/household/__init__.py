"""Household: keeps each municipality's register and turns a notice into changes of persons.

`processor` is the step; `decide` has the rules; `register` is the state of a municipality's register, `local` one
person's part of it.
"""

from processors.household.processor import HouseholdProcessor

__all__ = ["HouseholdProcessor"]
