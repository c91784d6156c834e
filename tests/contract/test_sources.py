"""Every source of files passes the suite of sources."""

from __future__ import annotations

from pathlib import Path

from connectors.enrolments import EnrolmentsSource
from connectors.enrolments.enrolment_row import HEADER as ENROLMENTS_HEADER
from connectors.events import EventsSource, NoticesSource
from connectors.juki_cs import JukiCsSource
from connectors.juki_cs.csv_row import HEADER as JUKI_CS_HEADER
from tests.contract.source_suite import SourceSuite

ROW = (
    "{0},13104-90000{0},131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001,42990000011,試験　一郎,"
    "シケン　イチロウ,1980-05-05,男,世帯主,東京都新宿区西新宿1丁目1番1号,,,0,"
)


def csv_file(*rows: str) -> bytes:
    return "".join(f"{row}\r\n" for row in rows).encode("utf-8-sig")


class TestJukiCs(SourceSuite):
    """A gateway server's CSV."""

    file_name = "juki_131041.csv"
    good = csv_file(JUKI_CS_HEADER, ROW.format(1), ROW.format(2))

    def make_source(self, path: Path) -> JukiCsSource:
        """Return the source for the municipality in the name."""
        return JukiCsSource(path)


class TestNotices(SourceSuite):
    """A register's JSON Lines."""

    file_name = "notices_131041.jsonl"
    good = b'{"notice": "13104-900001"}\n{"notice": "13104-900002"}\n'

    def make_source(self, path: Path) -> NoticesSource:
        """Return the source for the municipality in the name."""
        return NoticesSource(path)


class TestEnrolments(SourceSuite):
    """Enrolments of all domains."""

    file_name = "enrolments.csv"
    good = csv_file(ENROLMENTS_HEADER, "nta,,42990000011,2026-02-01", "nta,,42990000012,2026-02-01")

    def make_source(self, path: Path) -> EnrolmentsSource:
        """Return the source of the domains that the file names."""
        return EnrolmentsSource(path)


class TestEvents(SourceSuite):
    """JSON Lines of any system's events."""

    file_name = "accounts.jsonl"
    good = b'{"account": {"event": "REGISTERED"}}\n{"account": {"event": "CLOSED"}}\n'

    def make_source(self, path: Path) -> EventsSource:
        """Return the source of the portal's events."""
        return EventsSource("portal", path)
