"""Settings of workers, from `MESH_*`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.settings import PipelineSettings


class RunSettings(BaseSettings):
    """What an operator may want to set; everything else of the pipeline is fixed (`streams.settings`)."""

    model_config = SettingsConfigDict(env_prefix="MESH_", frozen=True)

    batch_records_max: int = Field(
        default=10_000, gt=0, le=100_000, description="Records of one transaction, at most."
    )
    linger_ms: int = Field(
        default=50, ge=0, le=1_000, description="How long a producer waits for a batch to fill."
    )
    transaction_timeout_ms: int = Field(
        default=10_000,
        ge=2_000,
        le=60_000,
        description="After it the broker aborts a dead worker's transaction.",
    )
    topic_metadata_refresh_interval_ms: int = Field(
        default=2_000,
        ge=100,
        le=60_000,
        description=(
            "How often workers ask for all topics: so soon intake reads a new municipality's. "
            "With thousands of topics 30,000 (see docs/performance.md)."
        ),
    )
    recovery_timeout_s: float = Field(
        default=30,
        ge=5,
        le=30,
        description="How long a worker tries to reach a broker before it ends, and its supervisor starts it again.",
    )
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_000,
        description=(
            "First port on 127.0.0.1 for Prometheus: steps in their order, 32 ports each, slot by slot; 0: none."
        ),
    )

    def pipeline(self) -> PipelineSettings:
        """The pipeline's settings. ValidationError where the times don't fit each other."""
        return PipelineSettings(
            batch_records_max=self.batch_records_max,
            linger_ms=self.linger_ms,
            topic_metadata_refresh_interval_ms=self.topic_metadata_refresh_interval_ms,
            transaction_timeout_ms=self.transaction_timeout_ms,
            recovery_timeout_s=self.recovery_timeout_s,
        )
