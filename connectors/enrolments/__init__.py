"""Enrolments: one file of all domains, each row handed over by the domain that it names."""

from connectors.enrolments.source import EnrolmentsSource

__all__ = ["EnrolmentsSource"]
