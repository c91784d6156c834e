"""Tries a batch, and parts of it: what can't be processed becomes a letter, what waits behind one is parked.

Each record is judged as if all before it had been processed one by one. A part is processed as a whole where none of
its records waits and none fails; else it is cut, down to single records.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import structlog

from streams.clients import Outgoing
from streams.contract import Batch, Output, Poison, Result
from streams.decoding import Part
from streams.errors import BrokenStepError, StreamError
from streams.setting_aside import Outcome, SettingAside, Workshop
from streams.state import PartitionState
from streams.strands import stranding

log = structlog.get_logger()

#: A row of one of several parts.
_Place = tuple[int, int]


class Attempts:
    """Some records; `state` is the one that the processor is given, None for a stateless step.

    `outcome` is what follows from all that was attempted; changes of state are pending.
    """

    def __init__(
        self, shop: Workshop, state: PartitionState | None, aside: SettingAside, outcome: Outcome
    ) -> None:
        self._shop, self._state, self._aside, self._outcome = shop, state, aside, outcome
        self._stranding = stranding(shop.step, state)
        self._failures = 0

    def attempt(self, parts: Sequence[Part]) -> None:
        """Whatever the processor raises, the other records go on; a StreamError or MemoryError passes through."""
        parts = [part for part in parts if len(part)]
        waiting = self._waiting(parts)
        if not any(waiting):
            self._try(parts)
        elif not self._stranding.fixed and _total(parts) > 1:
            # What a record waits for, and who waits for it, depends on all before it: those come first.
            self._in_halves(parts)
        else:
            self._try([_without(part, set(rows)) for part, rows in zip(parts, waiting, strict=True)])
            # Last, as it would hold what others before it are not to wait for.
            for part, rows in zip(parts, waiting, strict=True):
                for row in rows:
                    self._aside.park(part.records[row], self._stranding.of(part, row))

    def once(self, part: Part) -> str | None:
        """One record, whether it waits or not; None where it was processed, else why not."""
        try:
            poison = self._whole([part], lambda parts, found: False)
        except (StreamError, MemoryError):
            raise
        except Exception as error:  # as in `attempt`
            return self._raised(error)
        return poison.get((0, 0))

    def _waiting(self, parts: Sequence[Part]) -> list[list[int]]:
        """By part, the rows that wait for a strand that is held."""
        if not self._aside.held:
            return [[] for _ in parts]
        return [self._stranding.waiting(part, self._aside.held) for part in parts]

    def _try(self, parts: Sequence[Part]) -> None:
        """Those of which none waits for what is set aside by now."""
        left = [part for part in parts if len(part)]
        if not left:
            return
        try:
            poison = self._whole(left, self._spoils)
        except (StreamError, MemoryError):
            raise
        except Exception as error:  # whatever a processor raises, the other records go on
            self._failed(left, error)
            return
        for each, reason in poison.items():
            self._judge(left, each, reason)

    def _whole(
        self, parts: Sequence[Part], spoils: Callable[[Sequence[Part], dict[_Place, str]], bool]
    ) -> dict[_Place, str]:
        """Processes all of it; the poison in it. Where that spoils the rest, `spoils` has seen to it otherwise."""
        result = self._call([part.batch for part in parts])
        outgoing = self._encoded([output for output in result.outputs if output.table.num_rows])
        poison = {(each.batch, each.index): each.reason for each in _in_order(result.poison)}
        if poison and spoils(parts, poison):
            return {}
        if self._state:
            self._state.keep()
        self._outcome.outgoing.extend(outgoing)
        return poison

    def _spoils(self, parts: Sequence[Part], poison: dict[_Place, str]) -> bool:
        """Whether something later in these parts may wait for the poison: then all is done again without it."""
        followers = self._followers(parts, poison) if self._stranding.fixed else set()
        if self._stranding.fixed and not followers:
            return False
        if self._state:
            self._state.discard()
        if self._stranding.fixed:
            self._without_followers(parts, poison, followers)
        else:
            self._in_pieces(parts, poison)
        return True

    def _followers(self, parts: Sequence[Part], poison: Mapping[_Place, str]) -> set[_Place]:
        """Rows that come after poison, and wait for it; poison or not."""
        bad = [{row for number, row in poison if number == at} for at in range(len(parts))]
        return {
            (at, row)
            for at, part in enumerate(parts)
            for row in (self._stranding.followers(part, bad[at]) if bad[at] else ())
        }

    def _without_followers(
        self, parts: Sequence[Part], poison: Mapping[_Place, str], followers: set[_Place]
    ) -> None:
        out = followers.union(poison)
        rows = [{row for number, row in out if number == at} for at in range(len(parts))]
        self.attempt([_without(part, gone) for part, gone in zip(parts, rows, strict=True)])
        for place in sorted(out):
            # A follower has poison before it, and so is parked, whatever else it is.
            self._judge(parts, place, poison.get(place, ""))

    def _in_pieces(self, parts: Sequence[Part], poison: Mapping[_Place, str]) -> None:
        """What comes before each piece of poison, and then that."""
        for at, part in enumerate(parts):
            begun = 0
            for row in [row for number, row in poison if number == at]:
                self.attempt([part.slice(begun, row)])
                self._judge(parts, (at, row), poison[at, row])
                begun = row + 1
            self.attempt([part.slice(begun, len(part))])

    def _judge(self, parts: Sequence[Part], place: _Place, reason: str) -> None:
        part, row = parts[place[0]], place[1]
        content = part.batch.table.slice(row, 1).to_pylist()[0]
        self._aside.judge(part.records[row], content, self._stranding.of(part, row), reason)

    def _failed(self, parts: Sequence[Part], error: Exception) -> None:
        if _total(parts) > 1:
            if self._state:
                self._state.discard()
            self._in_halves(parts)
        else:
            self._judge(parts, (0, 0), self._raised(error))

    def _in_halves(self, parts: Sequence[Part]) -> None:
        first, second = _halves(parts, _total(parts) // 2)
        self.attempt(first)
        self.attempt(second)

    def _raised(self, error: Exception) -> str:
        """Why a single record failed. BrokenStepError where that is more often so than it may be."""
        if self._state:
            self._state.discard()
        self._failures += 1
        name, reason = self._shop.step.name, f"unexpected:{type(error).__name__}"
        # The error's text may hold what it was raised about: its type and place must do.
        log.error("record.failed", step=name, reason=reason, at=place(error))
        if self._failures > self._shop.settings.failures_max:
            raise BrokenStepError(f"{name} raised on {self._failures} records of one batch")
        return reason

    def _call(self, batches: Sequence[Batch]) -> Result:
        process: Callable[..., Result] = self._shop.step.processor.process
        return process(batches) if self._state is None else process(batches[0], self._state)

    def _encoded(self, outputs: Sequence[Output]) -> list[Outgoing]:
        """Each as records. Those of one schema are encoded together: for few rows a call costs more than they do."""
        alike: dict[tuple[str, pa.Schema], list[int]] = {}
        for at, output in enumerate(outputs):
            alike.setdefault((output.schema, output.table.schema), []).append(at)
        found: dict[int, Outgoing] = {}
        for (schema, _), places in alike.items():
            joined = pa.concat_tables([outputs[at].table for at in places])
            values = iter(self._shop.codec.encode(schema, joined).to_pylist())
            for at in places:
                found[at] = self._outgoing(outputs[at], list(islice(values, outputs[at].table.num_rows)))
        return [found[at] for at in range(len(outputs))]

    def _outgoing(self, output: Output, values: list[bytes]) -> Outgoing:
        if max(map(len, values)) > self._shop.settings.record_bytes_max:
            raise ValueError(f"a record for {output.topic} is larger than record_bytes_max")
        keys: list[Any] = output.key.cast(pa.binary()).to_pylist()
        stamps = None if output.timestamps_ms is None else output.timestamps_ms.to_pylist()
        if len(keys) != len(values) or (stamps is not None and len(stamps) != len(values)):
            raise ValueError(f"keys or timestamps for {output.topic} are not one a row")
        return Outgoing(output.topic, keys, values, stamps)


def place(error: BaseException) -> str:
    """File and line where an error was raised; no data."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def _in_order(poison: Sequence[Poison]) -> list[Poison]:
    return sorted(poison, key=lambda each: (each.batch, each.index))


def _total(parts: Sequence[Part]) -> int:
    return sum(map(len, parts))


def _without(part: Part, rows: set[int]) -> Part:
    return part.take([row for row in range(len(part)) if row not in rows]) if rows else part


def _halves(parts: Sequence[Part], size: int) -> tuple[list[Part], list[Part]]:
    """The first `size` rows, and the others."""
    first, second = list[Part](), list[Part]()
    for part in parts:
        cut = min(size, len(part))
        size -= cut
        if cut:
            first.append(part.slice(0, cut))
        if cut < len(part):
            second.append(part.slice(cut, len(part)))
    return first, second
