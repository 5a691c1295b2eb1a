"""Faults on request: what one `--fault` says, and which request meets which fault.

    SPEC = KIND[:SHARE% | :FIRST-LAST | :FIRST- | :every=N][:PARAMETER]

    503             every request is answered with 503
    503:5%          one in twenty, drawn by the seed
    429:1-3         the first three requests
    503:100-        every request from the hundredth on
    reset:every=50  the 50th, the 100th ...
    503:5%:stored   answered with 503, although the events were stored
    429:1-3:Retry-After=2   a status with a header
    delay:200       latency in milliseconds, on top of whatever else happens

Requests are counted from 1, since the faults were set, over the posts to both event endpoints that
passed the key and the rate limit. A fault that names requests (all but SHARE%) goes before one that
is drawn; of several the first written wins. Shares are of all requests, so 503:5% and reset:5% hit
one request in ten between them.

Three outcomes of a fault matter to a client, so every kind says whether the events were stored:
`reset` and `hang` are lost requests, `reset-after` and `timeout` are stored ones whose answer never
comes, and a client cannot tell the one from the other.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from ingest.sandbox.errors import SandboxError


class Kind(StrEnum):
    """What happens to a request."""

    STATUS = "status"
    RESET = "reset"
    RESET_AFTER = "reset-after"
    HANG = "hang"
    TIMEOUT = "timeout"
    SLOW = "slow"
    TRUNCATE = "truncate"
    CLOSE = "close"
    HTML = "html"
    EMPTY = "empty"
    ERRORS = "errors"
    GARBAGE = "garbage"
    HUGE = "huge"
    DELAY = "delay"


STORES = frozenset(
    {Kind.RESET_AFTER, Kind.TIMEOUT, Kind.SLOW, Kind.TRUNCATE, Kind.CLOSE, Kind.DELAY}
)
MAY_STORE = frozenset(
    {Kind.STATUS, Kind.HANG, Kind.HTML, Kind.EMPTY, Kind.ERRORS, Kind.GARBAGE, Kind.HUGE}
)
KINDS_SAID = "a status (such as 503), " + ", ".join(k for k in Kind if k is not Kind.STATUS)
_SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)%", re.ASCII)
_SPAN = re.compile(r"([1-9]\d{0,17})-(\d{0,18})", re.ASCII)
_EVERY = re.compile(r"every=([1-9]\d{0,17})", re.ASCII)
_HEADER = re.compile(r"(?!every=)([A-Za-z][A-Za-z0-9-]*)=([\x20-\x7e]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and when it happens.

    Args:
        spec: As it was written.
        kind: What happens.
        status: The status to answer with, for `Kind.STATUS`; otherwise 0.
        stored: The events are stored as if nothing were wrong.
        delay_ms: Latency, for `Kind.DELAY`, in milliseconds.
        header: A header of the answer, for `Kind.STATUS`.
        share: Of all requests, 0 to 1; None where requests are named instead.
        first: The first request that it may hit, from 1.
        last: The last one; None: no end.
        every: Only each N-th request.
    """

    spec: str
    kind: Kind
    status: int = 0
    stored: bool = False
    delay_ms: int = 0
    header: tuple[str, str] | None = None
    share: float | None = None
    first: int = 1
    last: int | None = None
    every: int = 1

    def names(self, number: int) -> bool:
        """Tell whether a fault without a share hits this request."""
        inside = self.first <= number and (self.last is None or number <= self.last)
        return inside and number % self.every == 0


def parse(spec: str) -> Fault:
    """Read one `--fault`.

    Raises:
        SandboxError: It is not in the form that the module's docstring gives.
    """
    word, _, rest = spec.strip().partition(":")
    kind, status = _kind(word, spec)
    first_part, _, tail = rest.partition(":")
    when = _when(first_part, spec)
    parameter = rest if when is None else tail
    share, first, last, every = when or (None, 1, None, 1)
    stored, delay_ms, header = _parameter(kind, parameter, spec)
    return Fault(
        spec=spec.strip(),
        kind=kind,
        status=status,
        stored=stored,
        delay_ms=delay_ms,
        header=header,
        share=share,
        first=first,
        last=last,
        every=every,
    )


def _wrong(spec: str, why: str) -> SandboxError:
    return SandboxError(
        f"--fault {spec}: {why}",
        hint="KIND[:SHARE%|:FIRST-LAST|:every=N][:PARAMETER], such as --fault 503:5%",
    )


def _kind(word: str, spec: str) -> tuple[Kind, int]:
    if word.isascii() and word.isdigit():
        status = int(word)
        if not 200 <= status <= 599:  # noqa: PLR2004 - the final statuses of HTTP
            raise _wrong(spec, "a status is 200 to 599")
        return Kind.STATUS, status
    if word == Kind.STATUS or word not in {*Kind}:
        raise _wrong(spec, f"{word!r} is no kind of fault; there are {KINDS_SAID}")
    return Kind(word), 0


def _when(part: str, spec: str) -> tuple[float | None, int, int | None, int] | None:
    """Read which requests; None where the part says something else."""
    if share := _SHARE.fullmatch(part):
        if not 0 < float(share[1]) <= 100:  # noqa: PLR2004 - per cent
            raise _wrong(spec, "a share is above 0% and at most 100%")
        return float(share[1]) / 100, 1, None, 1
    if span := _SPAN.fullmatch(part):
        first, last = int(span[1]), int(span[2]) if span[2] else None
        if last is not None and last < first:
            raise _wrong(spec, f"{part} ends before it begins")
        return None, first, last, 1
    if every := _EVERY.fullmatch(part):
        return None, 1, None, int(every[1])
    return None


def _parameter(kind: Kind, text: str, spec: str) -> tuple[bool, int, tuple[str, str] | None]:
    """Read (stored, delay_ms, header)."""
    if kind is Kind.DELAY:
        if not re.fullmatch(r"[1-9]\d{0,8}", text, re.ASCII):
            raise _wrong(spec, "a delay needs its milliseconds, such as delay:200 or delay:5%:200")
        return True, int(text), None
    if not text:
        return kind in STORES, 0, None
    if text == "stored" and kind in MAY_STORE:
        return True, 0, None
    if kind is Kind.STATUS and (header := _HEADER.fullmatch(text)):
        return False, 0, (header[1], header[2])
    raise _wrong(spec, f"{text!r} says nothing here")


class Faults:
    """The faults in force; it counts the requests since they were set.

    Args:
        specs: As `--fault` takes them.
        seed: Of the draws: the same seed and the same order of requests meet the same faults.

    Raises:
        SandboxError: A spec is malformed, or the shares are more than the whole.
    """

    def __init__(self, specs: Iterable[str] = (), *, seed: int = 0) -> None:
        faults = [parse(spec) for spec in specs]
        self.specs = tuple(fault.spec for fault in faults)
        self.number = 0
        self._delays = tuple(fault for fault in faults if fault.kind is Kind.DELAY)
        self._named = tuple(f for f in faults if f.share is None and f.kind is not Kind.DELAY)
        self._drawn: list[tuple[float, Fault]] = []
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        total = 0.0
        for fault in faults:
            if fault.share is not None and fault.kind is not Kind.DELAY:
                total += fault.share
                self._drawn.append((total, fault))
        if total > 1 + 1e-9:
            raise SandboxError(f"--fault: the shares add up to {total:.0%} of the requests")

    def draw(self) -> tuple[Fault | None, int]:
        """Give what happens to the next request: a fault or None, and the latency in ms."""
        self.number += 1
        lot = self._random.random()
        delay_ms = sum(d.delay_ms for d in self._delays if self._is_late(d))
        for fault in self._named:
            if fault.names(self.number):
                return fault, delay_ms
        for bound, fault in self._drawn:
            if lot < bound:
                return fault, delay_ms
        return None, delay_ms

    def _is_late(self, delay: Fault) -> bool:
        if delay.share is None:
            return delay.names(self.number)
        return self._random.random() < delay.share
