"""Settings: read strictly, resolved once, and every mistake named."""

import stat
import time
from datetime import UTC, datetime

import pytest

from ingest.config import FinishBy, Settings, allowance_of, resolve
from ingest.config.file import ConfigFile, SourceEntry, read_config
from ingest.core.gates import Allowance
from ingest.errors import UsageError

COMPLETE = """
account = "shop"
rate = 7

[rules]
timestamp_old = "off"

[jobs.nightly]
report_dir = "/reports"
max_rejects = 100

[jobs.nightly.rules]
email_unusual = "error"

[[jobs.nightly.sources]]
paths = ["/data/purchases-*.csv", "/data/more"]
set = { event = "purchase" }
map = { customer_id = "user_id" }
type = { price = "number" }
timestamp = "created_at"
as = "second"

[jobs.small]
sources = ["a.csv"]
"""


@pytest.fixture
def write(tmp_path):
    """Write a configuration and give its path."""

    def written(text):
        path = tmp_path / "ingest.toml"
        path.write_text(text)
        return str(path)

    return written


def test_a_job_stands_over_the_file(write):
    """Settings and rules of the job come on top; each source keeps its own mapping."""
    path = write(COMPLETE)

    found = read_config(path, job="nightly")

    assert found == ConfigFile(
        path,
        {"account": "shop", "rate": 7, "report_dir": "/reports", "max_rejects": "100"},
        {"timestamp_old": "off", "email_unusual": "error"},
        (
            SourceEntry(
                ("/data/purchases-*.csv", "/data/more"),
                {
                    "sets": ("event=purchase",),
                    "maps": ("customer_id=user_id",),
                    "types": ("price=number",),
                    "timestamp": "created_at",
                    "name": "second",
                },
            ),
        ),
    )


def test_a_source_may_be_a_path_alone(write):
    """Short jobs stay short."""
    assert read_config(write(COMPLETE), job="small").sources == (SourceEntry(("a.csv",)),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("acount = 'x'", "did you mean 'account'", id="unknown-setting"),
        pytest.param("[rules]\nx = 'fatal'", "error, warning, off", id="severity"),
        pytest.param("[jobs.a]\nrate = 5", "no sources", id="no-sources"),
        pytest.param("[jobs.a]\nsources = [{ set = {} }]", "no paths", id="no-paths"),
        pytest.param("[jobs.a]\nsources = [{ paths = ['x'], rat = 1 }]", "'rat'", id="in-a-source"),
        pytest.param("rate = 'fast'", "rate must be a number", id="number"),
        pytest.param("strict = 1", "strict must be true or false", id="flag"),
        pytest.param("only = 'a'", "only must be a list", id="list"),
        pytest.param("map = { a = 1 }", "every value must be a text", id="table-of-texts"),
        pytest.param("map = 'a=b'", "must be a table", id="table"),
        pytest.param("account = 5", "account must be a text", id="text"),
        pytest.param("rate = ", "not TOML", id="no-toml"),
    ],
)
def test_a_mistake_is_named(write, text, words):
    """What is wrong, where, and what it should be."""
    with pytest.raises(UsageError) as caught:
        read_config(write(text), job=None)

    assert words in f"{caught.value.message} {caught.value.hint}"


def test_a_broken_job_is_found_though_another_runs(write):
    """The whole file is checked, not only what is used."""
    with pytest.raises(UsageError, match=r"jobs\.b"):
        read_config(write("[jobs.a]\nsources=['x']\n[jobs.b]\nsources=['x']\nnope=1"), job="a")


def test_an_unknown_job_names_its_neighbours(write):
    """A typing error in a crontab is told apart from an empty file."""
    with pytest.raises(UsageError) as caught:
        read_config(write(COMPLETE), job="nigthly")

    assert "did you mean 'nightly'" in caught.value.hint


def test_a_missing_file_is_a_usage_error(tmp_path):
    """Nothing is read from anywhere else instead."""
    with pytest.raises(UsageError, match="cannot read"):
        read_config(str(tmp_path / "none.toml"), job=None)


def sandboxed(**changes):
    """Resolve settings for the sandbox."""
    return resolve(Settings(sandbox=True, **changes), environ={}, sends=True)


def test_the_sandbox_needs_no_key():
    """No account, no key, 100 calls a second."""
    config = sandboxed()

    assert (config.destination.origin, config.destination.account) == ("sandbox", "sandbox")
    assert (config.rate, config.address) == (100.0, None)


def test_no_key_says_how_to_try_and_how_to_set_one():
    """The first error of a new user has both ways out."""
    with pytest.raises(UsageError) as caught:
        resolve(Settings(), environ={}, sends=True)

    assert "INGEST_API_KEY" in caught.value.hint
    assert "--sandbox" in caught.value.hint


def test_checking_needs_no_key():
    """`ingest check` sends nothing."""
    assert resolve(Settings(), environ={}, sends=False).key is None


def test_the_key_is_never_shown():
    """X3: a configuration can be printed."""
    config = resolve(Settings(), environ={"INGEST_API_KEY": "canary-1"}, sends=True)

    assert config.key == "canary-1"
    assert "canary" not in repr(config)


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    """X2: 0600, or the run does not begin."""
    path = tmp_path / "key"
    path.write_text("abc\n")
    path.chmod(0o640)

    with pytest.raises(UsageError, match="can be read by others"):
        resolve(Settings(api_key_file=str(path)), environ={}, sends=True)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert resolve(Settings(api_key_file=str(path)), environ={}, sends=True).key == "abc"


def test_a_missing_key_file_is_named(tmp_path):
    """The path that was given, not a stack trace."""
    with pytest.raises(UsageError, match="none"):
        resolve(Settings(api_key_file=str(tmp_path / "none")), environ={}, sends=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Allowance()),
        ("0", Allowance(count=0)),
        ("100", Allowance(count=100)),
        ("2.5%", Allowance(share=0.025)),
        ("100%", Allowance(share=1.0)),
    ],
)
def test_max_rejects_is_a_count_or_a_share(text, expected):
    """Both forms, to the letter."""
    assert allowance_of(text) == expected


@pytest.mark.parametrize("text", ["many", "-1", "101%", "1.5", "", "%"])
def test_another_max_rejects_is_refused(text):
    """Nothing is guessed."""
    with pytest.raises(UsageError, match="--max-rejects"):
        allowance_of(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"concurrency": "0"},
        {"concurrency": "many"},
        {"account": "a b"},
        {"account": "../x"},
        {"finish_by": "6"},
        {"finish_by": "25:00"},
        {"rejects_ok_under": "0.5"},
        {"rejects_ok_under": "500%"},
    ],
)
def test_values_out_of_range_are_usage_errors(changes):
    """Each names its flag."""
    with pytest.raises(UsageError, match="--"):
        sandboxed(**changes)


def test_url_and_region_exclude_each_other():
    """Two addresses are one too many."""
    with pytest.raises(UsageError, match="--url and --region"):
        resolve(Settings(url="https://x.example", region="eu"), environ={}, sends=False)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (datetime(2026, 1, 1, 5, 59, tzinfo=UTC), datetime(2026, 1, 1, 6, 0, tzinfo=UTC)),
        (datetime(2026, 1, 1, 6, 0, tzinfo=UTC), datetime(2026, 1, 2, 6, 0, tzinfo=UTC)),
        (datetime(2026, 1, 1, 22, 0, tzinfo=UTC), datetime(2026, 1, 2, 6, 0, tzinfo=UTC)),
    ],
)
def test_finish_by_is_the_next_such_time(now, then):
    """06:00 said at six means tomorrow."""
    assert FinishBy(6, 0).after(now) == then


@pytest.fixture
def berlin(monkeypatch):
    """The clocks of Berlin, which change at 02:00 and 03:00."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("now", "at", "then"),
    [
        # The night of 29 March 2026 lacks an hour, that of 25 October has one twice.
        ("2026-03-28T22:00:00+01:00", FinishBy(6, 0), "2026-03-29T06:00:00+02:00"),
        ("2026-10-24T22:00:00+02:00", FinishBy(6, 0), "2026-10-25T06:00:00+01:00"),
        ("2026-03-28T22:00:00+01:00", FinishBy(2, 30), "2026-03-29T01:30:00+01:00"),
        ("2026-10-24T22:00:00+02:00", FinishBy(2, 30), "2026-10-25T02:30:00+02:00"),
        ("2026-10-25T02:45:00+02:00", FinishBy(2, 30), "2026-10-26T02:30:00+01:00"),
        ("2026-06-01T06:00:00+02:00", FinishBy(6, 0), "2026-06-02T06:00:00+02:00"),
    ],
)
def test_finish_by_is_meant_by_the_clock_on_the_wall(berlin, now, at, then):
    """Over a change of the clocks the hour is that of the morning, not of the evening before."""
    assert at.after(datetime.fromisoformat(now)) == datetime.fromisoformat(then)


def test_rejects_ok_is_a_share():
    """A plain flag is any share; without either, none is."""
    assert sandboxed().rejects_ok is None
    assert sandboxed(rejects_ok=True).rejects_ok == 1.0
    assert sandboxed(rejects_ok_under="0.5%").rejects_ok == 0.005
