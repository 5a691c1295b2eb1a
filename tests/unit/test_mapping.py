"""What is sent, decided from the header and the flags."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ingest.core.mapping import Field, Kind, Mapping, TimePlan
from ingest.core.planning import MappingFlags, plan, positions
from ingest.errors import UsageError

KNOWN = [
    "event",
    "customer_id",
    "email",
    "device_id",
    "cookie",
    "group_id",
    "device_type",
    "ip",
    "timestamp",
    "event_uuid",
    "subscription_groups",
]
IDENTITY = ("customer_id", "email", "device_id", "cookie", "group_id")
FLIGHTS = [
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
]


def planned(header: Any, *, identity: Any = IDENTITY, **flags: Any) -> Mapping:
    columns = header.split() if isinstance(header, str) else header
    return plan(
        columns,
        MappingFlags(**flags),
        known_fields=KNOWN,
        json_fields=("subscription_groups", "products"),
        identity_fields=identity,
    )


def refused(header: Any, **flags: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        planned(header, **flags)
    return caught.value


def test_every_column_is_sent_under_its_name() -> None:
    """Without flags each column is a field of its own name, in the order of the header."""
    mapping = planned("event customer_id sku timestamp")

    assert mapping == Mapping(
        tuple(Field(name, name) for name in ("event", "customer_id", "sku", "timestamp"))
    )


def test_the_flights_are_mapped() -> None:
    """Moves, a constant, null tokens and a time column make one mapping."""
    mapping = planned(
        FLIGHTS,
        maps=("customer_id=tailnum",),
        sets=("event=flight",),
        nulls=("NA",),
        timestamp="time_hour",
    )

    origin = {field.name: field.source or f"={field.constant}" for field in mapping.fields}
    untouched = [name for name in FLIGHTS if name not in {"tailnum", "time_hour"}]
    assert origin == {
        **{name: name for name in untouched},
        "customer_id": "tailnum",
        "timestamp": "time_hour",
        "event": "=flight",
    }
    assert (mapping.nulls, mapping.time) == (("NA",), TimePlan("time_hour"))
    assert [f.name for f in mapping.fields if f.kind is not Kind.TEXT] == ["timestamp"]
    assert mapping.describe(KNOWN) == (
        "sends 19 columns: 3 fields, 17 attributes [year, month, day, dep_time, sched_dep_time, "
        "dep_delay, ...]; customer_id from tailnum; set event=flight; time: time_hour"
    )


def test_fields_of_type_array_are_read_as_json() -> None:
    """A column that the schema has as an array or object is JSON unless a flag says otherwise."""
    plain = planned("event customer_id products")
    as_list = planned("event customer_id products", types=("products=list:|",))
    as_text = planned("event customer_id products", types=("products=text",))

    assert [m.fields[2].kind for m in (plain, as_list, as_text)] == [
        Kind.JSON,
        Kind.LIST,
        Kind.TEXT,
    ]
    assert as_list.fields[2].separator == "|"


@pytest.mark.parametrize(
    ("text", "name", "kind", "separator"),
    [
        pytest.param("n=number", "n", Kind.NUMBER, None, id="number"),
        pytest.param("old=integer", "new", Kind.INTEGER, None, id="by-its-column"),
        pytest.param("new=boolean", "new", Kind.BOOLEAN, None, id="by-its-field"),
        pytest.param("a=b=date", "a=b", Kind.DATE, None, id="equals-in-the-name"),
        pytest.param("n=list:=", "n", Kind.LIST, "=", id="equals-separates"),
        pytest.param("n=list:=date", "n", Kind.LIST, "=date", id="the-first-kind-counts"),
        pytest.param("n=list:\n", "n", Kind.LIST, "\n", id="newline-separates"),
    ],
)
def test_a_type_is_given_to_a_field(text: str, name: str, kind: Kind, separator: Any) -> None:
    """`--type` finds its field by the name that is sent or by the column's."""
    mapping = planned(["event", "email", "n", "a=b", "old"], maps=("new=old",), types=(text,))

    field = next(field for field in mapping.fields if field.name == name)
    assert (field.kind, field.separator) == (kind, separator)


def test_only_keeps_what_it_names_and_what_is_moved() -> None:
    """Columns of `--only`, `--map` and `--timestamp` are sent, the others left out."""
    mapping = planned(
        "uid x y created_at event",
        only=("event, #2",),
        maps=("customer_id=uid",),
        timestamp="created_at",
    )

    assert [field.name for field in mapping.fields] == ["customer_id", "x", "timestamp", "event"]
    assert mapping.left_out == ("y",)
    assert planned("uid x event", only=("customer_id", "event"), maps=("customer_id=uid",)).left_out


def test_columns_may_be_named_by_position() -> None:
    """`#2` is the second column, also where another has that very name."""
    assert planned("event email x", drop=("#3",)).left_out == ("x",)
    assert planned(["#3", "event", "email"], drop=("#3",), identity=()).left_out == ("email",)
    assert planned(["event", "email", "a,b", "a"], drop=("a,b",)).left_out == ("a,b",)
    assert positions(("a,#3, #12", "#x", "#4", "#")) == {3, 12, 4}


def test_the_type_of_a_value_follows_from_its_kind() -> None:
    """Rules are told what stands in the JSON."""
    header = ["event", "email", "a", "b", "c", "d", "e", "f", "subscription_group_id", "sub"]
    types = ("b=number", "c=integer", "d=boolean", "e=json", "f=list:|", "email=text", "a=date")
    mapping = planned(header, types=types, maps=("subscription_group_subscribed=sub",))

    found = [field.json_type for field in mapping.fields]

    assert found == [*["text"] * 3, "number", "integer", "boolean", *["json"] * 3]


def test_dropping_a_column_makes_room_for_its_name() -> None:
    """A column that is dropped can be replaced by a constant or by another column."""
    by_constant = planned("event email x", drop=("event",), sets=("event=view",))
    by_column = planned("event email x", drop=("event",), maps=("event=x",))

    assert by_constant.fields[-1] == Field("event", constant="view")
    assert by_column.fields == (Field("email", "email"), Field("event", "x"))


def test_names_can_be_exchanged() -> None:
    """Two columns may take each other's names."""
    mapping = planned("event email x", maps=("x=email", "email=x"))

    assert mapping.fields == (Field("event", "event"), Field("x", "email"), Field("email", "x"))


def test_a_flat_subscription_becomes_the_array() -> None:
    """The pair of columns is one field, in the place of the first of them."""
    mapping = planned(
        "event subscription_group_id email optin", maps=("subscription_group_subscribed=optin",)
    )

    assert mapping.fields == (
        Field("event", "event"),
        Field(
            "subscription_groups",
            kind=Kind.SUBSCRIPTION,
            parts=(
                Field("id", "subscription_group_id"),
                Field("subscribed", "optin", Kind.BOOLEAN),
            ),
        ),
        Field("email", "email"),
    )
    assert mapping.columns_of("subscription_groups") == ("subscription_group_id", "optin")
    assert mapping.columns_of("nothing") == ()


def test_half_a_subscription_is_an_attribute() -> None:
    """One column of the pair alone is sent under its own name."""
    mapping = planned("event email subscription_group_id")

    assert mapping.fields[2] == Field("subscription_group_id", "subscription_group_id")


CONFLICTS = [
    pytest.param("event email a b", {"maps": ("a=b",)}, "already.*--drop a", id="onto-a-column"),
    pytest.param("event email a", {"maps": ("x=a", "y=a")}, "moved to x and y", id="moved-twice"),
    pytest.param("event email a b", {"maps": ("x=a", "x=b")}, "two --map for 'x'", id="two-to-one"),
    pytest.param("event email a", {"maps": ("x=a",), "drop": ("a",)}, "--map x", id="drop-mapped"),
    pytest.param(
        "event email a", {"timestamp": "a", "drop": ("a",)}, "--timestamp sends", id="drop-time"
    ),
    pytest.param("event email a", {"sets": ("a=1",)}, "--drop a", id="set-over-a-column"),
    pytest.param(
        "event email a", {"sets": ("x=1",), "maps": ("x=a",)}, "take away --set x", id="set-and-map"
    ),
    pytest.param("event email a", {"sets": ("x=1", "x=2")}, "two --set", id="set-twice"),
    pytest.param("event email a", {"only": ("a",), "drop": ("a",)}, "exclude", id="only-and-drop"),
    pytest.param(
        "event email a", {"timestamp": "a", "no_timestamp": True}, "exclude", id="time-and-none"
    ),
    pytest.param(
        "event email timestamp", {"no_timestamp": True}, "--drop timestamp", id="none-but-there"
    ),
    pytest.param(
        "event email timestamp a", {"timestamp": "a"}, "--drop timestamp", id="two-timestamps"
    ),
    pytest.param(
        "event email a", {"maps": ("timestamp=a",), "timestamp": "a"}, "both give", id="map-time"
    ),
    pytest.param(
        "event email timestamp",
        {"timestamp_format": "epoch_s"},
        "add --timestamp timestamp",
        id="format-alone",
    ),
    pytest.param("event email", {"timezone": "UTC"}, "add --timestamp COLUMN", id="timezone-alone"),
    pytest.param(
        "event email timestamp", {"timezone": "UTC"}, "add --timestamp timestamp", id="zone-of-text"
    ),
    pytest.param("event email a", {"types": ("a=number", "a=date")}, "two --type", id="type-twice"),
    pytest.param(
        "event email a", {"types": ("a=date",), "timestamp": "a"}, "both say how", id="type-of-time"
    ),
    pytest.param(
        "event email a", {"types": ("a=date",), "drop": ("a",)}, "is not sent", id="type-of-dropped"
    ),
    pytest.param(
        "event email subscription_groups subscription_group_id subscription_group_subscribed",
        {},
        "--drop subscription_groups",
        id="pair-and-array",
    ),
]


@pytest.mark.parametrize(("header", "flags", "words"), CONFLICTS)
def test_two_ways_to_one_name_are_refused(header: Any, flags: Any, words: Any) -> None:
    """Whatever would meet under one name is refused, with the flag that resolves it."""
    error = refused(header, **flags)

    assert error.code == "mapping_conflict"
    assert re.search(words, f"{error.message} | {error.hint}")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param({"maps": ("email",)}, "--map NEW=OLD", id="map"),
        pytest.param({"maps": ("=a",)}, "--map NEW=OLD", id="map-to-nothing"),
        pytest.param({"sets": ("x",)}, "--set NAME=VALUE", id="set"),
        pytest.param({"sets": ("x=",)}, "give a value", id="set-nothing"),
        pytest.param({"sets": ("a=",), "drop": ("a",)}, "--drop a", id="set-nothing-on-a-column"),
        pytest.param({"types": ("a=nubmer",)}, "did you mean number", id="kind-misspelt"),
        pytest.param({"types": ("a=list",)}, "did you mean list:SEPARATOR", id="no-separator"),
        pytest.param({"types": ("a=subscription",)}, "write --type", id="not-a-kind-to-give"),
        pytest.param({"types": ("event=number",)}, "take away --type", id="event-is-text"),
        pytest.param({"types": ("email=json",)}, "take away --type", id="identity-is-text"),
    ],
)
def test_a_flag_that_cannot_be_read_says_its_form(flags: Any, words: Any) -> None:
    """The hint shows how the flag is written."""
    error = refused("event email a", **flags)

    assert (error.code, error.exit_code) == ("flag_invalid", 2)
    assert words in error.hint


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param({"maps": ("x=emial",)}, "did you mean 'email'?", id="map"),
        pytest.param({"drop": ("a,Event",)}, "did you mean 'event'?", id="drop"),
        pytest.param({"only": ("e-mail",)}, "did you mean 'email'?", id="only"),
        pytest.param({"timestamp": "zzz"}, "columns: event, email, a", id="timestamp"),
        pytest.param({"types": ("evnt=date",)}, "did you mean 'event'?", id="type"),
        pytest.param({"drop": ("#4",)}, "#1 to #3", id="position"),
        pytest.param({"drop": ("#0",)}, "#1 to #3", id="position-zero"),
    ],
)
def test_an_unknown_column_gets_did_you_mean(flags: Any, words: Any) -> None:
    """A column that is not in the header is refused with the names that are near."""
    error = refused("event email a", **flags)

    assert error.code == "unknown_column"
    assert words in error.hint


def test_a_bad_time_format_is_refused_with_the_mapping() -> None:
    """A format is tried before anything is read."""
    error = refused("event email a", timestamp="a", timestamp_format="%Q")

    assert error.code == "timestamp_format_invalid"


def test_a_header_with_a_name_twice_is_refused() -> None:
    """Two columns of one name cannot be told apart."""
    assert refused("event email a a").code == "duplicate_column"


def pasted(error: UsageError) -> list[str]:
    """The flags in a hint, as the shell would cut them."""
    return shlex.split(error.hint.removeprefix("add ").partition(" (")[0])


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        pytest.param("EventName email", ["--map", "event=EventName"], id="EventName"),
        pytest.param("type event_name email", ["--map", "event=event_name"], id="likelier-first"),
        pytest.param("EVENT email", ["--map", "event=EVENT"], id="letter-case"),
        pytest.param(["Event Type", "email"], ["--map", "event=Event Type"], id="blank-in-name"),
        pytest.param("foo email", ["--set", "event=NAME"], id="nothing-like-it"),
        pytest.param("event CustomerID", ["--map", "customer_id=CustomerID"], id="CustomerID"),
        pytest.param("event uid", ["--map", "customer_id=uid"], id="uid"),
        pytest.param("event member_id", ["--map", "customer_id=member_id"], id="member_id"),
        pytest.param(
            "event E-Mail user_id",
            ["--map", "customer_id=user_id", "--map", "email=E-Mail"],
            id="both",
        ),
        pytest.param("event anonymousId", ["--map", "cookie=anonymousId"], id="cookie"),
        pytest.param("event foo", ["--map", "customer_id=COLUMN"], id="no-identity-like-it"),
        pytest.param("event email created_at", ["--timestamp", "created_at"], id="created_at"),
        pytest.param("event email createdAt", ["--timestamp", "createdAt"], id="camel"),
        pytest.param("event email paid_at", ["--timestamp", "paid_at"], id="any-_at"),
        pytest.param("event email load_time ts", ["--timestamp", "ts"], id="likelier-time"),
        pytest.param(
            "Action User Date",
            ["--map", "event=Action", "--map", "customer_id=User", "--timestamp", "Date"],
            id="all-three",
        ),
    ],
)
def test_what_is_missing_is_asked_for_with_flags_to_paste(header: Any, flags: Any) -> None:
    """A source that cannot be right is refused with the flags that make it so."""
    assert pasted(refused(header)) == flags


def test_a_column_is_suggested_once() -> None:
    """What is suggested for the event is no candidate for the identity."""
    error = refused("EventName foo")

    assert pasted(error) == ["--map", "event=EventName", "--map", "customer_id=COLUMN"]
    assert "COLUMN is one of: foo)" in error.hint


def test_documented_fields_are_not_taken_for_others() -> None:
    """A field that the API knows is not suggested as another one misspelt."""
    with pytest.raises(UsageError) as caught:
        plan(
            ["type", "email"],
            MappingFlags(),
            known_fields=("type", "email"),
            json_fields=(),
            identity_fields=("email",),
        )

    assert pasted(caught.value) == ["--set", "event=NAME"]


@pytest.mark.parametrize(
    "header",
    ["EventName CustomerID created_at", [*FLIGHTS[-3:], "Event Name", "user id'"]],
    ids=["plain", "to-be-quoted"],
)
def test_the_pasted_flags_work(header: Any) -> None:
    """The suggested command is accepted as it stands."""
    words = pasted(refused(header))
    flags = {"maps": [], "timestamp": None}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        if flag == "--map":
            flags["maps"].append(value)
        else:
            flags["timestamp"] = value

    mapping = planned(header, maps=tuple(flags["maps"]), timestamp=flags["timestamp"])

    assert {"event", "customer_id", "timestamp"} <= {field.name for field in mapping.fields}


def test_both_ways_out_of_the_time_question_are_named() -> None:
    """A likely time column can be sent as the time, or not; the other candidates are named."""
    error = refused("event email sent_at created_at")

    assert error.code == "timestamp_undecided"
    assert error.hint.startswith("add --timestamp created_at (or --no-timestamp: ")
    assert error.hint.endswith("or --timestamp with sent_at)")


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        pytest.param("event email timestamp created_at", {}, id="a-column-timestamp"),
        pytest.param("event email created_at", {"no_timestamp": True}, id="decided-against"),
        pytest.param("event email created_at", {"timestamp": "created_at"}, id="decided"),
        pytest.param("event email created_at", {"drop": ("created_at",)}, id="dropped-by-name"),
        pytest.param(
            "event email at", {"sets": ("timestamp=2026-01-01",), "drop": ("at",)}, id="set"
        ),
        pytest.param("event email joined_at birth_date lifetime format", {}, id="other-times"),
    ],
)
def test_a_decided_time_is_not_asked_for(header: Any, flags: Any) -> None:
    """No question where the answer is given or no column is a likely time."""
    assert planned(header, **flags)


def test_a_time_that_only_leaves_out_is_asked_for() -> None:
    """Columns that were left out without being named may still be the time."""
    error = refused("event email created_at", only=("event", "email"))

    assert error.code == "timestamp_undecided"


def test_identity_is_not_asked_for_where_the_page_is_taken_literally() -> None:
    """Without identity fields an event alone suffices."""
    assert planned("event x", identity=())


def test_what_is_left_out_is_said() -> None:
    """An event or identity that a flag left out is not looked for elsewhere."""
    event = refused("event email x", only=("email",))
    identity = refused("event email x", drop=("email",))

    assert "'event' is left out" in event.message
    assert "left out: send it" in identity.hint


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param({"timestamp": "a"}, "time: a", id="moved"),
        pytest.param(
            {"timestamp": "a", "timezone": "Europe/Berlin"}, "time: a (Europe/Berlin)", id="zone"
        ),
        pytest.param({"maps": ("timestamp=a",)}, "time: a", id="as-it-is"),
        pytest.param({"sets": ("timestamp=2026",)}, "time: the constant", id="constant"),
        pytest.param({"drop": ("a",)}, "left out a; time: none, filed under", id="none"),
    ],
)
def test_the_plan_line_says_what_the_time_is(flags: Any, words: Any) -> None:
    """Whoever reads the plan sees where the time comes from."""
    assert words in planned("event email a", **flags).describe(KNOWN)


def test_the_plan_line_counts() -> None:
    """One is singular, and no attribute is no list."""
    assert (
        planned("event email")
        .describe(KNOWN)
        .startswith("sends 2 columns: 2 fields, 0 attributes;")
    )
    assert (
        planned("event email x")
        .describe(KNOWN)
        .startswith("sends 3 columns: 2 fields, 1 attribute [x];")
    )


BASE = planned("event email a", timestamp="a", nulls=("NA", "-"))


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, nulls=("NA",)),
        replace(BASE, timezone="Europe/Berlin"),
        replace(BASE, time=TimePlan("a", "epoch_s")),
        replace(BASE, time=None),
        replace(BASE, fields=BASE.fields[1:]),
        replace(BASE, fields=(BASE.fields[1], BASE.fields[0], BASE.fields[2])),
        replace(BASE, fields=(*BASE.fields, Field("x", constant="1"))),
        replace(BASE, fields=(*BASE.fields, Field("x", constant="1", kind=Kind.NUMBER))),
        replace(BASE, fields=(*BASE.fields, Field("x", "x", Kind.LIST, separator=","))),
        replace(BASE, fields=(*BASE.fields, Field("x", "x", Kind.LIST, separator=";"))),
    ],
)
def test_a_digest_changes_with_what_is_sent(other: Mapping) -> None:
    """Whatever changes the events changes the digest."""
    assert other.digest() != BASE.digest()


def test_a_digest_holds_only_what_is_sent() -> None:
    """Order and repetition of null tokens, and what is left out, do not matter."""
    same = replace(BASE, nulls=("-", "NA", "NA"), left_out=("z",))

    assert same.digest() == BASE.digest()
    assert same.as_json() == BASE.as_json()
    assert BASE.digest() == "ca0ecc3e9a87c22cd7aee611fde979ca16d66ae4ca577a239e4af2af6ba16eab"


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: Field("x"), id="from-nowhere"),
        pytest.param(lambda: Field("x", "x", constant="1"), id="from-two"),
        pytest.param(lambda: Field("x", kind=Kind.SUBSCRIPTION, source="x"), id="no-parts"),
        pytest.param(lambda: Field("x", "x", Kind.LIST), id="list-without-separator"),
        pytest.param(lambda: Field("x", "x", separator="|"), id="separator-without-list"),
        pytest.param(lambda: Mapping((Field("x", "x"), Field("x", "y"))), id="one-name-twice"),
        pytest.param(lambda: replace(BASE, time=TimePlan("b")), id="another-time"),
        pytest.param(lambda: replace(BASE, fields=()), id="no-time"),
    ],
)
def test_a_wrong_mapping_cannot_be_built(build: Callable[[], object]) -> None:
    """Values check themselves."""
    with pytest.raises(ValueError, match="field"):
        build()


def test_a_mapping_comes_back_from_its_json() -> None:
    """What a ledger keeps of a mapping makes the same events again."""
    mapping = planned(
        "event customer_id at qty tags subscription_group_id subscription_group_subscribed",
        timestamp="at",
        timestamp_format="%d.%m.%Y",
        timezone="Europe/Berlin",
        types=("qty=integer", "tags=list:;"),
        sets=("site=shop",),
        nulls=("NULL", "-"),
        drop=(),
    )

    back = Mapping.from_json(mapping.as_json())

    assert back == replace(mapping, left_out=(), nulls=tuple(sorted(mapping.nulls)))
    assert back.digest() == mapping.digest()


@pytest.mark.parametrize(
    "content", [{}, {"fields": [{}], "nulls": [], "time": None}, {"fields": 1}]
)
def test_what_is_no_mapping_does_not_come_back(content: Any) -> None:
    """Another form is refused, not guessed."""
    with pytest.raises(ValueError, match="not a mapping"):
        Mapping.from_json(content)
