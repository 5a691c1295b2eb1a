"""Progress: what is left by the limit, on a terminal and in a log."""

import io

import pytest

from ingest.edges.display import Display, Standing


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """It is."""
        return True


HALF = Standing(500, 1000, read=600, delivered=300, rejected=60, rate=5.0, batch=30)


def test_what_is_left_follows_from_the_limit() -> None:
    """Half of the bytes have 600 records, of which a tenth is rejected: 1,080 are sent in all."""
    assert HALF.expected == 1200
    assert HALF.left_s == pytest.approx((1080 - 300) / 30 / 5)
    assert HALF.words == "60 rejected, 5.2 s left at 5 calls/s"


@pytest.mark.parametrize(
    "now",
    [
        Standing(0, 0, read=0, delivered=0, rejected=0),
        Standing(0, 10, read=0, delivered=0, rejected=0, rate=5.0, batch=30),
        Standing(10, 10, read=3, delivered=0, rejected=3, rate=5.0, batch=30),
        Standing(10, 10, read=3, delivered=3, rejected=0),
    ],
)
def test_the_ends_of_the_scale(now: Standing) -> None:
    """Nothing read, all rejected, all done, no limit: no figure is below nothing."""
    assert now.expected >= now.read
    assert now.left_s is None or now.left_s == 0


def test_a_line_a_minute_where_nobody_watches() -> None:
    """Without a terminal: plain lines, and seldom."""
    clock, stream = [0.0], io.StringIO()
    display = Display(stream, quiet=False, clock=lambda: clock[0], wall=lambda: 0.0)
    display.begin("events.csv", records=None)
    for clock[0] in (1.0, 59.0, 61.0, 62.0, 130.0):
        display.show(HALF)
    display.end()

    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "300 delivered of 600 read (50% of the file), 60 rejected, 5.2 s left" in lines[0]


def test_a_bar_on_a_terminal() -> None:
    """It shows the share, and what is left; nothing of it stays behind."""
    stream = Terminal()
    display = Display(stream, quiet=False, clock=lambda: 0.0)
    display.begin("events.csv", records=None)
    for _ in range(3):
        display.show(HALF)
    display.tell("waiting 20 s: the server said 429")
    display.end()

    shown = stream.getvalue()
    assert "waiting 20 s: the server said 429\n" in shown
    assert "events.csv:" in shown
    assert "360/1.20k [00:00, 60 rejected, 5.2 s left at 5 calls/s]" in shown
