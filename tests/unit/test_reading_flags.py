"""The flags that say how a source is read, from the command line, the environment and a file."""

import pytest

from ingest.cli import group
from ingest.cli.doctor import examine
from ingest.cli.settings import effective
from ingest.config.reading import Reading, reading_of
from ingest.errors import UsageError


def effective_reading(arguments: list[str]) -> list[Reading]:
    """The readings of the inputs of a command line."""
    command = group.commands["check"]
    context = command.make_context("check", arguments)
    return [one.reading for one in effective(context, context.params).settings.inputs]


def test_nothing_typed_is_the_usual_form():
    """Without flags the delimiter is found, quotes are double ones, and a header is expected."""
    assert effective_reading(["a.csv"]) == [Reading()]
    assert reading_of({}) == Reading()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--delimiter", "tab"], Reading(delimiter="\t"), id="tab"),
        pytest.param(["--delimiter", r"\t"], Reading(delimiter="\t"), id="backslash-t"),
        pytest.param(["--delimiter", ";"], Reading(delimiter=";"), id="semicolon"),
        pytest.param(["--quote", "none"], Reading(quote=""), id="no-quote"),
        pytest.param(["--quote", "'"], Reading(quote="'"), id="apostrophe"),
        pytest.param(["--encoding", "cp1252"], Reading(encoding="cp1252"), id="encoding"),
        pytest.param(["--max-record-bytes", "5"], Reading(max_record_bytes=5), id="cap"),
        pytest.param(
            ["--no-header", "--columns", "a, b", "--columns", "c"],
            Reading(columns=("a", "b", "c")),
            id="columns",
        ),
    ],
)
def test_flags(arguments, expected):
    """Each flag says what it says."""
    assert effective_reading(["a.csv", *arguments]) == [expected]


def test_environment(monkeypatch):
    """Each flag has its variable."""
    values = {"DELIMITER": "tab", "NO_HEADER": "1", "COLUMNS": "a,b", "MAX_RECORD_BYTES": "7"}
    for name, value in values.items():
        monkeypatch.setenv(f"INGEST_{name}", value)

    assert effective_reading(["a.csv"]) == [
        Reading(delimiter="\t", columns=("a", "b"), max_record_bytes=7)
    ]


def test_sources_of_a_job_are_each_read_in_their_way(tmp_path):
    """In a file, each source of a job may have its own delimiter, columns, encoding and cap."""
    file = tmp_path / "ingest.toml"
    file.write_text(
        'quote = "none"\n'
        "[jobs.night]\n"
        'sources = ["a.csv", { paths = ["b.csv"], delimiter = "tab", quote = "\'",'
        ' no_header = true, columns = ["a", "b"], encoding = "latin-1", max_record_bytes = 9 }]\n'
    )

    found = effective_reading(["--config", str(file), "--job", "night"])

    assert found == [
        Reading(quote=""),
        Reading(
            delimiter="\t", quote="'", columns=("a", "b"), encoding="latin-1", max_record_bytes=9
        ),
    ]


def test_doctor_shows_what_holds(tmp_path):
    """The value of a setting of sources is that of the file, where the file has it."""
    file = tmp_path / "ingest.toml"
    file.write_text('delimiter = ";"\nmap = { customer_id = "user" }\n')
    command = group.commands["doctor"]
    context = command.make_context("doctor", ["--sandbox", "--config", str(file)])
    context.params["state"] = str(tmp_path)

    shown = examine(context, context.params)["settings"]

    assert shown["delimiter"] == {"value": ";", "from": str(file)}
    assert shown["map"] == {"value": ["customer_id=user"], "from": str(file)}
    assert shown["quote"] == {"value": None, "from": "default"}


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        pytest.param({"delimiter": ""}, "dialect_invalid", id="delimiter"),
        pytest.param({"quote": ""}, "dialect_invalid", id="quote"),
        pytest.param({"no_header": True}, "columns_missing", id="no-names"),
        pytest.param({"columns": ("a",)}, "columns_with_header", id="names-alone"),
        pytest.param({"no_header": True, "columns": ("a,,b",)}, "columns_blank", id="blank"),
    ],
)
def test_what_does_not_fit_is_refused(typed, code):
    """A flag that cannot be meant so is refused, and the hint says how."""
    with pytest.raises(UsageError) as refusal:
        reading_of(typed)

    assert refusal.value.code == code
    assert refusal.value.hint
