"""Settings of workers and of the tracker, from `MESH_*` environment variables."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.settings import PipelineSettings


class RunSettings(BaseSettings):
    """The pipeline's settings that an operator may change; all others are fixed (`streams.settings`)."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    batch_records_max: int = Field(
        default=10_000, gt=0, le=100_000, description="Most records of one transaction."
    )
    linger_ms: int = Field(
        default=50, ge=0, le=1_000, description="Longest time a producer waits for a batch to fill."
    )
    transaction_timeout_ms: int = Field(
        default=10_000,
        ge=2_000,
        le=60_000,
        description="Time after which the broker aborts the open transaction of a dead worker.",
    )
    topic_metadata_refresh_interval_ms: int = Field(
        default=2_000,
        ge=100,
        le=60_000,
        description=(
            "Interval at which workers list the topics, and so the delay before intake reads a new input topic. "
            "Set 30,000 with thousands of topics (see docs/performance.md)."
        ),
    )
    recovery_timeout_s: float = Field(
        default=30,
        ge=5,
        le=30,
        description="Longest time a worker tries to reach a broker; then it ends and its supervisor restarts it.",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_000,
        description=(
            "First port on 127.0.0.1 for Prometheus; 0: none. "
            "Each step has 32 ports, in the order of the steps, one per slot."
        ),
    )

    def pipeline(self) -> PipelineSettings:
        """Return the pipeline's settings. Raise ValidationError where the times contradict each other."""
        return PipelineSettings(
            batch_records_max=self.batch_records_max,
            linger_ms=self.linger_ms,
            topic_metadata_refresh_interval_ms=self.topic_metadata_refresh_interval_ms,
            transaction_timeout_ms=self.transaction_timeout_ms,
            recovery_timeout_s=self.recovery_timeout_s,
        )


class TrackerSettings(BaseSettings):
    """Settings of the tracker, from `MESH_TRACKER_*`."""

    model_config = SettingsConfigDict(env_prefix="MESH_TRACKER_", frozen=True)

    host: str = Field(
        default="127.0.0.1", max_length=255, description="Address on which the tracker serves HTTP."
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Port of the tracker's HTTP; 0 chooses a free one, and MESH_HOME/tracker.json has it.",
    )
    overdue_after_s: float = Field(
        default=3600,
        gt=0,
        le=31_536_000,
        description="A case is overdue if it is open for longer after its submission was received.",
    )
    batch_records_max: int = Field(
        default=2000, gt=0, le=50_000, description="Most records in one update of the table of cases."
    )
    batch_wait_s: float = Field(
        default=0.1, gt=0, le=10, description="Longest time to wait for such a batch to fill."
    )
    list_max: int = Field(default=1000, gt=0, le=100_000, description="Most cases in one HTTP answer.")
