"""Errors of connectors. No message has data of a record: messages name files, lines, columns and topics.

ConnectorError
├── TerminalError                    a retry cannot succeed: an operator has to act
│   ├── SourceFileError              nothing of the file was published; the command line exits with 2
│   │   ├── UnreadableFileError      the file does not exist or may not be read
│   │   ├── EmptyFileError
│   │   ├── BinaryFileError          the file has NUL bytes
│   │   ├── FileFormatError          the header or first line is of another format or encoding
│   │   ├── FileLimitError           a line or a submission is longer than a record may be
│   │   ├── FileNameError            the name does not name the municipality, or has hidden characters
│   │   └── UnroutableError          lines name no input topic, or no user that may write it exists
│   ├── NotDeliveredError            the broker rejected a record (privileges, size, no such topic)
│   ├── StoreSchemaError             the store lacks a table, a column or a privilege: run `mesh apply`
│   ├── UnreadableWithdrawalError    a withdrawal of an address cannot be decoded
│   └── NotOpenError                 put of a partition that is not open
├── TransientError                   the same call may succeed later; retried a limited number of times
│   ├── BrokerUnavailableError       not acknowledged before the deadline
│   └── StoreUnavailableError        no connection, a lost connection, or a transaction that lost against another
│       └── TransactionTimeoutError  a statement or the transaction timed out; one of fewer records may succeed
└── SinkFencedError                  the stored offset is not the one that this sink started from: another sink
                                     committed. Open again and continue from the stored offsets
"""

from __future__ import annotations


class ConnectorError(Exception):
    """Root of all errors of connectors."""


class TerminalError(ConnectorError):
    """A retry cannot succeed."""


class TransientError(ConnectorError):
    """The same call may succeed later."""


class SinkFencedError(ConnectorError):
    """Another sink committed offsets of a partition that this sink had open."""


class SourceFileError(TerminalError):
    """The file cannot be ingested; nothing of it was published."""


class UnreadableFileError(SourceFileError):
    """The file does not exist or may not be read."""


class EmptyFileError(SourceFileError):
    """The file has no bytes except a byte order mark and line ends."""


class BinaryFileError(SourceFileError):
    """The file has NUL bytes."""


class FileFormatError(SourceFileError):
    """The header, or a line that cannot be published unparsed (raw), is of another format or encoding."""


class FileLimitError(SourceFileError):
    """A line or a submission is longer than a record may be."""


class FileNameError(SourceFileError):
    """The name does not name the municipality, or has hidden characters."""


class UnroutableError(SourceFileError):
    """Lines name no input topic, or no user that may write it exists."""


class NotDeliveredError(TerminalError):
    """The broker rejected a record."""


class StoreSchemaError(TerminalError):
    """The store lacks a table, a column or a privilege."""


class UnreadableWithdrawalError(TerminalError):
    """A withdrawal of an address cannot be decoded, so the sink does not know whose address it must not show."""


class NotOpenError(TerminalError):
    """Records were put of a partition that is not open."""


class BrokerUnavailableError(TransientError):
    """Records were not acknowledged before the deadline."""


class StoreUnavailableError(TransientError):
    """No connection to the store, a lost connection, or a transaction that lost against another."""


class TransactionTimeoutError(StoreUnavailableError):
    """A statement or the transaction timed out; one of fewer records may succeed."""
