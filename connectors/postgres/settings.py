"""Settings of the sink into PostgreSQL."""

from __future__ import annotations

from pydantic import BaseModel, Field


class PostgresSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits of a sink's connection, its transactions and its relay."""

    connect_timeout_s: int = Field(default=10, gt=0, le=60)
    statement_timeout_s: float = Field(default=10, gt=0, le=120)
    #: The server ends a transaction that takes longer, or whose client says nothing for so long: a worker that hangs
    #: in the midst of one holds the fence, and nobody else could go on.
    transaction_timeout_s: float = Field(default=20, gt=0, le=120)
    idle_transaction_timeout_s: float = Field(default=5, gt=0, le=60)
    lock_timeout_s: float = Field(default=10, gt=0, le=60)
    #: Attempts at one transaction, the first included; between them the pause doubles from the first to the longest.
    attempts_max: int = Field(default=8, gt=0, le=100)
    pause_first_s: float = Field(default=0.1, gt=0, le=10)
    pause_max_s: float = Field(default=2, gt=0, le=60)
    #: A dead letter longer than this says where its record stands instead of holding it.
    letter_bytes_max: int = Field(default=900_000, gt=1_024, le=10_000_000)
    #: Outbox rows that one round of the relay takes; a row holds the receipts of one batch.
    relay_rows_max: int = Field(default=20, gt=0, le=1_000)
    delivery_timeout_s: float = Field(default=30, gt=0, le=120)
