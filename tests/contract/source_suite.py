"""What every source promises. A connector's tests derive from `SourceSuite` and give the fixtures."""

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


class Log:
    """A publisher that keeps what it is sent, by topic."""

    def __init__(self, refuse_after: int | None = None) -> None:
        self.codec = Codec(catalogue(), LocalSchemaIds(catalogue()))
        self.prepared: list[Route] = []
        self.topics: dict[str, list[bytes]] = {}
        self.flushed = 0
        self._refuse_after = refuse_after

    def prepare(self, routes: Collection[Route]) -> None:
        """Remembers the routes."""
        self.prepared.extend(routes)

    def send(self, found: SubmissionBatch) -> None:
        """Keeps the records."""
        assert found.route in self.prepared, "a route that open did not name"
        values = self.codec.encode(found.route.schema, found.table).to_pylist()
        self.topics.setdefault(found.route.topic, []).extend(values)

    def flush(self) -> None:
        """Acknowledges, or refuses from the flush on that it was told."""
        self.flushed += 1
        if self._refuse_after is not None and self.flushed > self._refuse_after:
            raise NotDeliveredError("refused")


class SourceSuite(ABC):
    """The promises of `connectors.source`, held against one connector.

    `file_name` is a name that the connector takes, `good` the bytes of a good file of two hand-overs for one topic.
    """

    file_name: str
    good: bytes

    @abstractmethod
    def make(self, path: Path) -> Source:
        """The connector for a file."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """A good file."""
        path = tmp_path / self.file_name
        path.write_bytes(self.good)
        return path

    def test_everything_is_handed_over_in_order(self, file: Path) -> None:
        """Every hand-over of the input arrives once, encoded in its route's schema, in the order of the file."""
        log, seen = Log(), list[int]()
        summary = ingest(self.make(file), log, seen.append)
        assert summary.hand_overs == 2 == sum(map(len, log.topics.values()))
        assert summary.by_topic == {topic: len(values) for topic, values in log.topics.items()}
        assert seen[-1] == file.stat().st_size
        assert seen == sorted(seen)
        [values] = log.topics.values()
        lines = log.codec.decode(log.prepared[0].schema, values).table.column("line").to_pylist()
        assert lines == sorted(lines)

    def test_the_same_file_gives_the_same_records(self, file: Path) -> None:
        """Nothing of a record comes from a clock or from chance: taken in again, it is a duplicate."""
        first, second = Log(), Log()
        ingest(self.make(file), first)
        ingest(self.make(file), second)
        assert first.topics == second.topics

    def test_only_the_base_name_is_carried(self, file: Path) -> None:
        """Folders of the submitter's machine are nobody's business."""
        log = Log()
        ingest(self.make(file), log)
        [values] = log.topics.values()
        names = log.codec.decode(log.prepared[0].schema, values).table.column("file").to_pylist()
        assert set(names) == {file.name}

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
        ids=["empty", "only a mark", "only line ends", "binary", "a long line", "another format"],
    )
    def test_what_is_no_such_file_is_refused_whole(
        self, file: Path, content: bytes, error: type[SourceFileError]
    ) -> None:
        """Nothing is published of an empty or binary file, of another format, or with a line beyond the limit."""
        file.write_bytes(content)
        log = Log()
        with pytest.raises(error, match=file.name.split(".")[0]):
            ingest(self.make(file), log)
        assert log.topics == {}

    @pytest.mark.parametrize(
        "spoil", [b"\x00", b"y" * 600_000], ids=["a NUL byte at the end", "a long line at the end"]
    )
    def test_the_end_is_looked_at_before_the_beginning_is_sent(self, file: Path, spoil: bytes) -> None:
        """A file that goes wrong in its last line is as much refused as one that does in its first."""
        file.write_bytes(self.good + spoil)
        log = Log()
        with pytest.raises(SourceFileError):
            ingest(self.make(file), log)
        assert log.topics == {}

    def test_a_file_that_is_not_there(self, file: Path) -> None:
        """A missing file is an error of its own, and names the file."""
        file.unlink()
        with pytest.raises(UnreadableFileError, match=file.name):
            ingest(self.make(file), Log())

    def test_poll_stays_empty_after_the_end(self, file: Path) -> None:
        """The end is the end; closing twice is allowed."""
        source = self.make(file)
        source.open()
        while source.poll():
            source.commit()
        assert source.poll() == []
        source.close()
        source.close()
        assert source.poll() == []

    def test_what_the_broker_refuses_is_not_counted(self, file: Path) -> None:
        """The error reaches the caller, and the source is closed."""
        source = self.make(file)
        with pytest.raises(NotDeliveredError):
            ingest(source, Log(refuse_after=0))
        assert source.poll() == []
