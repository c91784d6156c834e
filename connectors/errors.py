"""What can go wrong in a connector. No message holds data of a record: they name files, lines, columns and topics.

ConnectorError
├── TerminalError                 trying again changes nothing: somebody has to act
│   ├── SourceFileError           nothing of the file was published; the command line ends with 2
│   │   ├── UnreadableFileError   there is no such file, or no right to read it
│   │   ├── EmptyFileError
│   │   ├── BinaryFileError       it has NUL bytes
│   │   ├── FileFormatError       its header or first line is of another format or encoding
│   │   ├── FileLimitError        a line or a hand-over is longer than a record may be
│   │   ├── FileNameError         the name does not say whose file it is
│   │   └── UnroutableError       lines that name no topic to go to, or nobody who may write there
│   ├── NotDeliveredError         the broker refused a record (rights, size, no such topic)
│   ├── StoreMisfitError          the store lacks a table, a column or a right: apply it again
│   └── NotOpenError              put of a partition that is not open
├── TransientError                the same call may succeed later; tried a limited number of times
│   ├── BrokerUnavailableError    not acknowledged before the deadline
│   └── StoreUnavailableError     no connection, or it broke, or the transaction lost against another
│       └── OverdueError          it took longer than a statement or a transaction may: one of fewer records may not
└── FencedError                   the stored offset is not the one that this sink started from: another one
                                  committed. Open again, and go on from what is stored
"""

from __future__ import annotations


class ConnectorError(Exception):
    """Root of all errors of connectors."""


class TerminalError(ConnectorError):
    """Trying again changes nothing."""


class TransientError(ConnectorError):
    """The same call may succeed later."""


class SinkFencedError(ConnectorError):
    """Another sink committed offsets of a partition that this one thought its own."""


class SourceFileError(TerminalError):
    """The file can't be taken in; nothing of it was published."""


class UnreadableFileError(SourceFileError):
    """There is no such file, or no right to read it."""


class EmptyFileError(SourceFileError):
    """It has no bytes but a byte order mark."""


class BinaryFileError(SourceFileError):
    """It has NUL bytes."""


class FileFormatError(SourceFileError):
    """Its header or first line is of another format or encoding."""


class FileLimitError(SourceFileError):
    """A line or a hand-over is longer than a record may be."""


class FileNameError(SourceFileError):
    """The name does not say whose file it is."""


class UnroutableError(SourceFileError):
    """Lines name no topic to go to, or there is nobody who may write it."""


class NotDeliveredError(TerminalError):
    """The broker refused a record."""


class StoreSchemaError(TerminalError):
    """The store lacks a table, a column or a right."""


class NotOpenError(TerminalError):
    """Records of a partition that is not open."""


class BrokerUnavailableError(TransientError):
    """Not acknowledged before the deadline."""


class StoreUnavailableError(TransientError):
    """No connection to the store, or it broke, or the transaction lost against another."""


class TransactionTimeoutError(StoreUnavailableError):
    """It took longer than a statement or a transaction may; one of fewer records may not."""
