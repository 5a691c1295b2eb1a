"""Progress and messages on stderr: a bar on a terminal, else one plain line a minute."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from tqdm import tqdm

from ingest.core.figures import duration
from ingest.core.logline import LogFormat, log_line

LINE_S = 60.0
"""Seconds between plain lines: enough for a log, not too much for one."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a run has come.

    Args:
        bytes_done: Of the source, read and judged.
        bytes_all: Of the source.
        read: Records read.
        delivered: Records that the API has accepted.
        rejected: Records rejected or refused.
        rate: Calls a second that are allowed; None: no limit.
        batch: Events in a call.
    """

    bytes_done: int
    bytes_all: int
    read: int
    delivered: int
    rejected: int
    rate: float | None = None
    batch: int = 1

    @property
    def expected(self) -> int:
        """Records of the whole source, as far as can be told from what was read."""
        if not self.bytes_done:
            return self.read
        return max(self.read, round(self.read * self.bytes_all / self.bytes_done))

    @property
    def left_s(self) -> float | None:
        """Seconds that the limit leaves at least; None without a limit."""
        if self.rate is None or not self.read:
            return None
        left = self.expected * (1 - self.rejected / self.read) - self.delivered
        return max(left, 0) / self.batch / self.rate

    @property
    def words(self) -> str:
        """What stands behind the figures: rejects, and the time that is left."""
        words = f"{self.rejected:,} rejected"
        left_s = self.left_s
        if left_s is not None and self.rate is not None:
            words += f", {duration(left_s)} left at {self.rate:g} calls/s"
        return words


class Display:
    """Where progress is shown.

    Args:
        stream: Standard error.
        quiet: Show nothing.
        clock: Monotonic seconds.
        form: How messages are written.
        wall: Seconds since 1970, for messages that have a time.
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool,
        clock: Callable[[], float],
        form: LogFormat = LogFormat.TEXT,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stream = stream
        self._quiet = quiet
        self._clock = clock
        self._wall = wall
        terminal = stream.isatty()
        self._form = form.on(terminal=terminal)
        self._lively = terminal and self._form is LogFormat.TEXT
        self._last_s = clock()
        self._bar: tqdm | None = None  # type: ignore[type-arg] # tqdm is not generic at run time

    def begin(self, title: str, *, records: int | None) -> None:
        """Begin a source; `records` is how many there are, if that is known."""
        self.end()
        if self._quiet or not self._lively:
            return
        self._bar = tqdm(
            total=records,
            desc=title,
            unit=" records",
            file=self._stream,
            dynamic_ncols=True,
            leave=False,
            mininterval=0.2,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
            unit_scale=True,
        )

    def show(self, now: Standing) -> None:
        """Show how far it is; as often as one likes."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.n = now.delivered + now.rejected
            self._bar.total = now.expected
            self._bar.set_postfix_str(now.words, refresh=False)
            self._bar.update(0)
        elif not self._lively and self._clock() - self._last_s >= LINE_S:
            self._last_s = self._clock()
            share = now.bytes_done / now.bytes_all if now.bytes_all else 1.0
            self.tell(
                f"{now.delivered:,} delivered of {now.read:,} read ({share:.0%} of the file), {now.words}"
            )

    def tell(self, line: str) -> None:
        """Show a message of one line."""
        if self._quiet:
            return
        line = log_line(self._form, line, now_s=self._wall())
        with contextlib.suppress(OSError):  # a reader that went away changes no result
            if self._bar is not None:
                self._bar.write(line, file=self._stream)
            else:
                print(line, file=self._stream, flush=True)

    def end(self) -> None:
        """End the bar."""
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()
            self._bar = None
