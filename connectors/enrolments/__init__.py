"""The source of enrolments: one file for all domains, each row published as the user of the domain it names."""

from connectors.enrolments.source import EnrolmentsSource

__all__ = ["EnrolmentsSource"]
