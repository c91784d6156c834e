"""Every source of files passes the suite of sources."""

from __future__ import annotations

from pathlib import Path

from connectors.enrolments import EnrolmentsSource
from connectors.enrolments.enrolment_row import HEADER as ENROLMENTS_HEADER
from connectors.events import EventsSource
from connectors.juki_cs import JukiCsSource
from connectors.juki_cs.csv_row import HEADER as JUKI_CS_HEADER
from connectors.notices import NoticesSource
from tests.contract.source_suite import SourceSuite

ROW = (
    "{0},13104-90000{0},131041,転居,2026-03-02,2026-03-02,131049000001,1310490000001,42990000011,試験　一郎,"
    "シケン　イチロウ,1980-05-05,男,世帯主,東京都新宿区西新宿1丁目1番1号,,,0,"
)


def csv(*rows: str) -> bytes:
    return "".join(f"{row}\r\n" for row in rows).encode("utf-8-sig")


class TestJukiCs(SourceSuite):
    """The gateway server's CSV."""

    file_name = "juki_131041.csv"
    good = csv(JUKI_CS_HEADER, ROW.format(1), ROW.format(2))

    def make(self, path: Path) -> JukiCsSource:
        """For the municipality in the name."""
        return JukiCsSource(path)


class TestNotices(SourceSuite):
    """A municipality's JSON Lines."""

    file_name = "notices_131041.jsonl"
    good = b'{"notice": "13104-900001"}\n{"notice": "13104-900002"}\n'

    def make(self, path: Path) -> NoticesSource:
        """For the municipality in the name."""
        return NoticesSource(path)


class TestEnrolments(SourceSuite):
    """Enrolments of all domains."""

    file_name = "enrolments.csv"
    good = csv(ENROLMENTS_HEADER, "nta,,42990000011,2026-02-01", "nta,,42990000012,2026-02-01")

    def make(self, path: Path) -> EnrolmentsSource:
        """For whatever domains it names."""
        return EnrolmentsSource(path)


class TestEvents(SourceSuite):
    """Events of any system."""

    file_name = "accounts.jsonl"
    good = b'{"account": {"event": "REGISTERED"}}\n{"account": {"event": "CLOSED"}}\n'

    def make(self, path: Path) -> EventsSource:
        """For the portal."""
        return EventsSource("portal", path)
