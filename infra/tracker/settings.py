"""Settings of the tracker."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TrackerSettings(BaseSettings):
    """`MESH_TRACKER_*` settings; a misspelt value fails."""

    model_config = SettingsConfigDict(env_prefix="MESH_TRACKER_", frozen=True)

    host: str = Field(
        default="127.0.0.1", max_length=255, description="Address the tracker's HTTP listens on."
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65_535,
        description="Port of the tracker's HTTP; 0 chooses a free one, told in MESH_HOME/tracker.json.",
    )
    overdue_after_s: float = Field(
        default=3600,
        gt=0,
        le=31_536_000,
        description="A case open for longer since its hand-over is overdue.",
    )
    batch_records_max: int = Field(
        default=2000, gt=0, le=50_000, description="Records taken in at once, in one update of the table."
    )
    batch_wait_s: float = Field(default=0.1, gt=0, le=10, description="Longest wait for a batch to fill.")
    list_max: int = Field(default=1000, gt=0, le=100_000, description="Most cases in one answer.")
