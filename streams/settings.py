"""Settings of a worker's pipeline. Kafka's settings keep their names, with `_` for `.`; the suffix is the unit."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator


class PipelineSettings(BaseModel, frozen=True, extra="forbid"):
    """Sizes of batches, and limits of all waits. A misspelt or contradictory setting is an error."""

    batch_records_max: int = Field(default=10_000, gt=0, le=100_000)
    batch_bytes_max: int = Field(default=16_777_216, ge=65_536, le=268_435_456)
    #: A record with a larger output becomes a dead letter. Must be below the brokers' `message.max.bytes`.
    record_bytes_max: int = Field(default=4_000_000, ge=1_024, le=67_108_864)
    #: A batch with more bytes of outputs is made smaller; a single record with more becomes a dead letter.
    output_bytes_max: int = Field(default=134_217_728, ge=65_536, le=1_073_741_824)
    #: If a processor fails on more records of one batch, the step is broken; if on fewer, they are poison.
    failures_max: int = Field(default=1_000, gt=0, le=100_000)
    #: How long a poll waits for the first record, and then for further records of the batch.
    poll_timeout_s: float = Field(default=0.5, gt=0, le=5)
    gather_timeout_s: float = Field(default=0.05, ge=0, le=1)

    linger_ms: int = Field(default=50, ge=0, le=1_000)
    batch_size_bytes: int = Field(default=1_000_000, ge=16_384, le=16_777_216)
    compression_type: Literal["none", "lz4", "zstd"] = "lz4"
    queued_max_messages_kbytes: int = Field(default=32_768, ge=1_024, le=1_048_576)

    message_timeout_ms: int = Field(default=8_000, ge=1_000, le=60_000)
    transaction_timeout_ms: int = Field(default=10_000, ge=2_000, le=60_000)
    commit_timeout_s: float = Field(default=7, gt=0, le=60)
    recovery_timeout_s: float = Field(default=30, gt=0, le=300)
    session_timeout_ms: int = Field(default=10_000, ge=6_000, le=60_000)
    max_poll_interval_ms: int = Field(default=150_000, ge=10_000, le=600_000)
    #: How often a worker checks whether its group leaves a partition unassigned.
    unassigned_check_interval_s: float = Field(default=10, ge=1, le=300)
    topic_metadata_refresh_interval_ms: int = Field(default=2_000, ge=100, le=60_000)
    #: How long a restore may read nothing. An open transaction may hold up a changelog for `transaction_timeout_ms`.
    restore_stall_timeout_s: float = Field(default=90, gt=0, le=600)
    #: How long a worker waits for the end of a global table. An open transaction may hold it up as it does a restore.
    table_stall_timeout_s: float = Field(default=25, gt=0, le=300)
    request_timeout_s: float = Field(default=15, gt=0, le=60)

    @model_validator(mode="after")
    def _timeouts_are_consistent(self) -> Self:
        """Check that each timeout is below those that include it.

        All waits of one `Pipeline.run_once` together must end before the group expels a member that doesn't poll.
        """
        if not self.message_timeout_ms < self.transaction_timeout_ms:
            raise ValueError("message_timeout_ms must be below transaction_timeout_ms")
        if not self.transaction_timeout_ms + 5_000 < 1_000 * self.restore_stall_timeout_s:
            raise ValueError(
                "restore_stall_timeout_s must be more than 5 s longer than transaction_timeout_ms"
            )
        if not self.session_timeout_ms < self.max_poll_interval_ms:
            raise ValueError("session_timeout_ms must be below max_poll_interval_ms")
        waits_s = 4 * self.commit_timeout_s + 2 * self.recovery_timeout_s + 2 * self.request_timeout_s
        if not 1_000 * (waits_s + self.table_stall_timeout_s) < self.max_poll_interval_ms:
            raise ValueError(
                "4 × commit_timeout_s + 2 × (recovery_timeout_s + request_timeout_s) + table_stall_timeout_s "
                "must be below max_poll_interval_ms"
            )
        return self
