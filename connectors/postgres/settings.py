"""Settings of the sink into PostgreSQL."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, model_validator


class PostgresSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits of a sink's connection, its transactions and its relay."""

    connect_timeout_s: int = Field(default=10, gt=0, le=60)
    statement_timeout_s: float = Field(default=10, gt=0, le=120)
    #: The server ends a transaction that takes longer, or whose client says nothing for so long: a worker that hangs
    #: in the midst of one holds the fence, and nobody else could go on.
    transaction_timeout_s: float = Field(default=20, gt=0, le=120)
    idle_transaction_timeout_s: float = Field(default=5, gt=0, le=60)
    #: Below the statement's, or that would end a wait first, as if it were too much work; longer than a silent
    #: transaction may hold it.
    lock_timeout_s: float = Field(default=8, gt=0, le=60)
    #: Attempts at one transaction, the first included; between them the pause doubles from the first to the longest.
    attempts_max: int = Field(default=8, gt=0, le=100)
    pause_first_s: float = Field(default=0.1, gt=0, le=10)
    pause_max_s: float = Field(default=2, gt=0, le=60)
    #: A dead letter longer than this says where its record stands instead of holding it.
    letter_bytes_max: int = Field(default=900_000, gt=1_024, le=10_000_000)
    #: Outbox rows that one round of the relay takes; a row holds the receipts of one batch.
    relay_rows_max: int = Field(default=20, gt=0, le=1_000)
    delivery_timeout_s: float = Field(default=30, gt=0, le=120)

    @model_validator(mode="after")
    def _whose_turn(self) -> Self:
        """A wait for a lock is told apart from too much work by which limit ends it."""
        if not self.lock_timeout_s < self.statement_timeout_s:
            raise ValueError("lock_timeout_s must be below statement_timeout_s")
        return self
