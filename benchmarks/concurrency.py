"""How near `--concurrency auto` comes to what a server can do, and how often it is turned away.

The server works on so many requests at once, each for so long (give or take 10 %), lets as many
more wait as `--queue` says (in parts of its slots) and turns the rest away. Ideal: slots / service
time, from the first request on, ramp-up included.
"""

import argparse
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

from delivering import deliver, peer
from machine import described

SINKS = ((8, 0.05), (32, 0.1), (100, 0.2))
RESULTS = Path(__file__).parent / "results" / "concurrency.md"


@dataclass(frozen=True, slots=True)
class Found:
    """One measurement.

    Args:
        used: Part of the ideal rate.
        refused: Part of all requests that was turned away.
    """

    used: float
    refused: float


def measure(slots: int, service_s: float, *, queue: int, refuse: int, seconds: float) -> Found:
    """Send to one kind of server for so long."""
    options = {"slots": slots, "service-s": service_s, "queue": queue, "refuse": refuse}
    with peer(*(f"--{name}={value}" for name, value in options.items())) as server:
        deliver(server.url, rate=None, seconds=seconds)
    end_s = server.arrivals[0] + seconds
    done = sum(stamp < end_s for stamp in server.answered)
    return Found(
        used=done / (slots / service_s * seconds), refused=server.refused / len(server.arrivals)
    )


def main() -> None:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of one measurement")
    parser.add_argument("--refuse", type=int, nargs="+", choices=(503, 429), default=[503, 429])
    parser.add_argument("--queue", type=float, nargs="+", default=[0.0, 4.0], help="of the slots")
    parser.add_argument("--quick", action="store_true", help="8 s each, nothing written")
    options = parser.parse_args()
    seconds = 8.0 if options.quick else options.seconds
    lines = ["# Adaptive concurrency", "", described(sys.argv), ""]
    lines += ["| server | queue | turned away with | share of the ideal rate | turned away |"]
    lines += ["|---|---|---|---|---|"]
    for (slots, service_s), part, refuse in itertools.product(SINKS, options.queue, options.refuse):
        queue = int(slots * part)
        found = measure(slots, service_s, queue=queue, refuse=refuse, seconds=seconds)
        name = f"{slots} x {service_s * 1000:.0f} ms"
        lines.append(f"| {name} | {queue} | {refuse} | {found.used:.1%} | {found.refused:.2%} |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if not options.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
