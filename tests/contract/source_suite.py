"""The contract suite of sources. A connector's test class derives from `SourceSuite` and provides its file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

import pytest

from connectors.errors import (
    BinaryFileError,
    EmptyFileError,
    FileFormatError,
    FileLimitError,
    NotDeliveredError,
    SourceFileError,
    UnreadableFileError,
)
from connectors.publish import ingest
from connectors.source import Route, Source, SubmissionBatch
from schemas.catalogue import catalogue
from schemas.codec import Codec
from schemas.ids import LocalSchemaIds


class RecordingPublisher:
    """A publisher that keeps the encoded records it is sent, by topic."""

    def __init__(self, flushes_before_rejection: int | None = None) -> None:
        self.codec = Codec(catalogue(), LocalSchemaIds(catalogue()))
        self.prepared: list[Route] = []
        self.topics: dict[str, list[bytes]] = {}
        self.flushed = 0
        self._flushes_before_rejection = flushes_before_rejection

    def prepare(self, routes: Collection[Route]) -> None:
        """Keep the routes."""
        self.prepared.extend(routes)

    def send(self, batch: SubmissionBatch) -> None:
        """Keep the encoded records."""
        assert batch.route in self.prepared, "a route that open did not return"
        values = self.codec.encode(batch.route.schema, batch.table).to_pylist()
        self.topics.setdefault(batch.route.topic, []).extend(values)

    def flush(self) -> None:
        """Acknowledge everything, or raise NotDeliveredError after so many flushes."""
        self.flushed += 1
        if self._flushes_before_rejection is not None and self.flushed > self._flushes_before_rejection:
            raise NotDeliveredError("rejected")


class SourceSuite(ABC):
    """The tests of the contract in `connectors.source`, for one connector.

    `file_name` is a name that the connector accepts, `good` the bytes of a valid file of two submissions to one topic.
    """

    file_name: str
    good: bytes

    @abstractmethod
    def make_source(self, path: Path) -> Source:
        """Return the connector for a file."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """Return a valid file."""
        path = tmp_path / self.file_name
        path.write_bytes(self.good)
        return path

    def test_all_submissions_are_published_in_order(self, file: Path) -> None:
        """Each submission is published once, encoded in its route's schema, in the order of the file."""
        publisher, bytes_done = RecordingPublisher(), list[int]()
        summary = ingest(self.make_source(file), publisher, bytes_done.append)
        assert summary.submissions == 2 == sum(map(len, publisher.topics.values()))
        assert summary.by_topic == {topic: len(values) for topic, values in publisher.topics.items()}
        assert bytes_done[-1] == file.stat().st_size
        assert bytes_done == sorted(bytes_done)
        [values] = publisher.topics.values()
        decoded = publisher.codec.decode(publisher.prepared[0].schema, values)
        lines = decoded.table.column("line").to_pylist()
        assert lines == sorted(lines)

    def test_the_same_file_gives_the_same_records(self, file: Path) -> None:
        """Records depend on no clock and no random numbers, so ingesting a file again gives duplicates."""
        first, second = RecordingPublisher(), RecordingPublisher()
        ingest(self.make_source(file), first)
        ingest(self.make_source(file), second)
        assert first.topics == second.topics

    def test_records_have_the_base_name_only(self, file: Path) -> None:
        """Folders of the submitter's machine are not published."""
        publisher = RecordingPublisher()
        ingest(self.make_source(file), publisher)
        [values] = publisher.topics.values()
        decoded = publisher.codec.decode(publisher.prepared[0].schema, values)
        assert set(decoded.table.column("file").to_pylist()) == {file.name}

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (b"", EmptyFileError),
            (b"\xef\xbb\xbf", EmptyFileError),
            (b"\n\r\n", EmptyFileError),
            (b"\x00\x01binary", BinaryFileError),
            (b"{" + b"x" * 2_000_000, FileLimitError),
            (b"%PDF-1.7\nsomething else\n", FileFormatError),
        ],
        ids=["empty", "only a byte order mark", "only line ends", "binary", "a long line", "another format"],
    )
    def test_a_file_of_another_kind_is_rejected(
        self, file: Path, content: bytes, error: type[SourceFileError]
    ) -> None:
        """An empty or binary file, another format, or a line beyond the limit: nothing is published."""
        file.write_bytes(content)
        publisher = RecordingPublisher()
        with pytest.raises(error, match=file.name.split(".")[0]):
            ingest(self.make_source(file), publisher)
        assert publisher.topics == {}

    @pytest.mark.parametrize(
        "last_line", [b"\x00", b"y" * 600_000], ids=["a NUL byte at the end", "a long line at the end"]
    )
    def test_the_whole_file_is_checked_before_anything_is_published(
        self, file: Path, last_line: bytes
    ) -> None:
        """A file whose last line is invalid is rejected like one whose first line is."""
        file.write_bytes(self.good + last_line)
        publisher = RecordingPublisher()
        with pytest.raises(SourceFileError):
            ingest(self.make_source(file), publisher)
        assert publisher.topics == {}

    def test_a_missing_file_is_an_error_that_names_it(self, file: Path) -> None:
        """A missing file raises UnreadableFileError."""
        file.unlink()
        with pytest.raises(UnreadableFileError, match=file.name):
            ingest(self.make_source(file), RecordingPublisher())

    def test_poll_returns_nothing_after_the_end(self, file: Path) -> None:
        """After the end, `poll` stays empty; `close` may be called twice."""
        source = self.make_source(file)
        source.open()
        while source.poll():
            source.commit()
        assert source.poll() == []
        source.close()
        source.close()
        assert source.poll() == []

    def test_a_rejection_by_the_broker_reaches_the_caller(self, file: Path) -> None:
        """NotDeliveredError is raised, and the source is closed."""
        source = self.make_source(file)
        with pytest.raises(NotDeliveredError):
            ingest(source, RecordingPublisher(flushes_before_rejection=0))
        assert source.poll() == []
