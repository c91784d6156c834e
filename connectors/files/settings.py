"""Limits of what a source takes from a file."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FileSettings(BaseModel, frozen=True, extra="forbid"):
    """Limits; a broker takes a record of 1 MiB, and base64 or another encoding makes half as much again of a line."""

    line_bytes_max: int = Field(default=512 * 1024, gt=0, le=640 * 1024)
    hand_over_bytes_max: int = Field(default=512 * 1024, gt=0, le=640 * 1024)
    hand_over_rows_max: int = Field(default=5_000, gt=0, le=10_000)
    batch_rows_max: int = Field(default=5_000, gt=0, le=50_000)
    #: Lines that a message names before it says how many more there are.
    lines_named_max: int = Field(default=10, gt=0, le=1_000)
