"""How much of a limit is used, and whether it is ever exceeded: by the stamp of sending, and on arrival.

The whole sending side runs against a server that stamps arrivals, by itself and beside `ingest
check`, which reads and validates a file over and over in another thread of the same process. What
counts is the worst second: the highest number of requests in any second, wherever it begins.
"""

import argparse
import contextlib
import io
import itertools
import sys
import tempfile
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from delivering import deliver, peer
from machine import described
from matplotlib.figure import Figure

from ingest.cli import main as ingest

RESULTS = Path(__file__).parent / "results"
ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Paced:
    """One measurement.

    Args:
        rate: Calls per second that are allowed.
        busy: Whether reading and validating went on beside it.
        seconds: How long.
        sent: Stamps of sending, from 0 s on.
        arrived: Stamps of arrival, on the same clock.
    """

    rate: float
    busy: bool
    seconds: float
    sent: list[float]
    arrived: list[float]

    @property
    def used(self) -> float:
        """Part of the limit that was used."""
        return bisect_left(self.sent, self.seconds) / (self.rate * self.seconds)


def counts(stamps: Sequence[float]) -> list[int]:
    """How many stamps lie in the second before each, itself included and a whole second not."""
    return [n + 1 - bisect_right(stamps, stamp - 1.0, hi=n) for n, stamp in enumerate(stamps)]


def beyond(stamps: Sequence[float], rate: float) -> int:
    """How many stamps came while a full second's worth lay within the second before them."""
    return sum(count > rate for count in counts(stamps))


def peaks(stamps: Sequence[float], seconds: float) -> tuple[list[float], list[int]]:
    """Moments, and the highest count since the moment before: a line that hides no peak."""
    highest: dict[int, int] = {}
    for stamp, count in zip(stamps, counts(stamps), strict=True):
        step = int(stamp / _STEP_S)
        highest[step] = max(highest.get(step, 0), count)
    steps = [step for step in sorted(highest) if step * _STEP_S < seconds]
    return [step * _STEP_S for step in steps], [highest[step] for step in steps]


_STEP_S = 0.2


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[None]:
    """Have a file read and validated over and over meanwhile."""
    source = directory / "events.csv"
    rows = (f"purchase,customer-{n},c{n}@example.com,{n / 7:.2f}\n" for n in range(ROWS))
    source.write_text("event,customer_id,email,amount\n" + "".join(rows))
    command = ["check", str(source), "--no-timestamp", "-q"]
    command += ["--state", str(directory / "state"), "--report-dir", str(directory / "reports")]
    over = threading.Event()
    codes: set[object] = set()

    def work() -> None:
        while not over.is_set():
            try:
                ingest(command)
            except SystemExit as ended:
                codes.add(ended.code)

    thread = threading.Thread(target=work)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
    if codes != {0}:
        raise SystemExit(f"ingest check ended with {codes}")


def measure(rate: float, *, busy: bool, seconds: float, limits: Path | None = None) -> Paced:
    """Send at one rate for so long."""
    with tempfile.TemporaryDirectory() as directory, peer() as server:
        beside = reading(Path(directory)) if busy else contextlib.nullcontext()
        with beside:
            stamps = deliver(server.url, rate=rate, seconds=seconds, limits=limits).stamps
    first_s = stamps[0]
    return Paced(
        rate=rate,
        busy=busy,
        seconds=seconds,
        sent=[stamp - first_s for stamp in stamps],
        arrived=[stamp - first_s for stamp in server.arrivals],
    )


def table(found: Sequence[Paced]) -> list[str]:
    """What was found, as a table of Markdown."""
    names = ("calls/s", "beside it", "share used", "worst second, sending", "worst second, arrival")
    rows = [f"| {' | '.join(names)} | arrivals above the limit |", "|---|---|---|---|---|---|"]
    for one in found:
        beside = "reading and validating" if one.busy else "nothing"
        sent, arrived = max(counts(one.sent)), max(counts(one.arrived))
        above = beyond(one.arrived, one.rate)
        share = f"{above:,} of {len(one.arrived):,}"
        rows.append(
            f"| {one.rate:,g} | {beside} | {one.used:.2%} | {sent:,} | {arrived:,} | {share} |"
        )
    return rows


def picture(found: Sequence[Paced]) -> Figure:
    """Requests in the last second, over time: sent and arrived, a row for each rate."""
    rates = sorted({one.rate for one in found})
    loads = sorted({one.busy for one in found})
    figure = Figure(figsize=(5.5 * len(loads), 2.6 * len(rates)), layout="constrained")
    axes = figure.subplots(len(rates), len(loads), squeeze=False, sharex=True, sharey="row")
    for one in found:
        axis = axes[rates.index(one.rate)][loads.index(one.busy)]
        axis.step(*peaks(one.arrived, one.seconds), where="post", lw=1.6, color="#e69f00")
        axis.step(*peaks(one.sent, one.seconds), where="post", lw=0.8, color="#0072b2")
        axis.axhline(one.rate, lw=0.8, ls="--", color="#444444")
        axis.set_ylim(0, max(one.rate * 1.15, one.rate + 2))
        axis.set_xlim(0, one.seconds)
        beside = "beside reading and validating" if one.busy else "by itself"
        axis.set_title(f"{one.rate:,g} calls/s, {beside}: {one.used:.1%} used", fontsize=10)
    axes[0][0].legend(["arrived", "sent", "limit"], loc="lower right", fontsize=8)
    figure.supxlabel("seconds", fontsize=9)
    figure.supylabel("requests in the last second", fontsize=9)
    return figure


def main() -> None:
    """Measure, print, write down and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[5, 100, 1000])
    parser.add_argument("--seconds", type=float, default=60.0, help="of one measurement")
    parser.add_argument("--limits", type=Path, help="a directory for the shared limit")
    parser.add_argument("--quick", action="store_true", help="5 s each, nothing written")
    options = parser.parse_args()
    seconds = 5.0 if options.quick else options.seconds
    machine = described(sys.argv)
    found = []
    for rate, busy in itertools.product(options.rates, (False, True)):
        found.append(measure(rate, busy=busy, seconds=seconds, limits=options.limits))
        print(table(found)[-1], flush=True)
    text = "\n".join(["# Pacing", "", machine, "", *table(found), "", "![pacing](pacing.svg)", ""])
    print(text)
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "pacing.md").write_text(text)
        picture(found).savefig(RESULTS / "pacing.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
