"""What a crash left in doubt is sent again, or held until somebody decides."""

import json
import signal

import pytest

from tests.support.workdir import Server, Source, Workdir, interrupt, some, wait_for_events

ROWS = some(240)


def _killed(work: Workdir, server: Server) -> Source:
    """A source of which some is delivered, some in doubt, and some was never tried."""
    source = work.source(ROWS)
    slow = ("--rate", "20", "--batch-size", "5", "--url", server.url)
    with work.start("run", source.path, *slow) as process:
        wait_for_events(server, 40)
        interrupt(process, signal.SIGKILL)
    return source


def test_records_in_doubt_are_held_on_request(work: Workdir, server: Server) -> None:
    """With --on-doubt hold nothing that may have arrived goes again: held, listed, exit 3."""
    source = _killed(work, server)
    first = set(server.times())

    done = work.json("run", source.path, "--on-doubt", "hold", *work.to(server))

    marks, records = done.summary["of_which"], done.summary["records"]
    assert done.code == 3, done.err
    assert set(server.times().values()) == {1}, "something went twice"
    assert marks["held"] == marks["in_doubt"] == records["unsent"] > 0
    assert records["delivered"] + records["unsent"] == len(ROWS)
    missing = set(source.uuids()) - set(server.times())
    assert len(missing) <= marks["held"], "something that was never in doubt did not go"
    assert first <= set(server.times())

    again = work.json("run", source.path, "--on-doubt", "hold", *work.to(server))
    assert (again.code, again.summary["requests"]["sent"]) == (3, 0)


@pytest.mark.parametrize("wish", ["send", "delivered"])
def test_held_records_are_settled_by_retry(work: Workdir, server: Server, wish: str) -> None:
    """`retry --doubt` ends what was held: sent with the same ids, or counted as delivered."""
    source = _killed(work, server)
    held = work.json("run", source.path, "--on-doubt", "hold", *work.to(server))
    count = server.count()

    done = work.json("retry", "--doubt", wish, held.summary["run_id"], *work.to(server))

    assert done.code == 0, done.err
    assert done.summary["records"]["delivered"] == len(ROWS)
    if wish == "send":
        assert set(server.times()) == set(source.uuids())
        assert server.count() == count + held.summary["of_which"]["held"]
    else:
        assert server.count() == count


def test_without_it_they_go_again(work: Workdir, server: Server) -> None:
    """The default sends what is in doubt again, under the same ids."""
    source = _killed(work, server)

    done = work.json("run", source.path, *work.to(server))

    assert done.code == 0, json.dumps(done.summary["error"])
    assert set(server.times()) == set(source.uuids())
    assert done.summary["of_which"]["held"] == 0
