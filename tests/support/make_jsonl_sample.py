"""Writes `sample_data/events.jsonl`: an app's export, with every kind of trouble of JSON lines.

Run `python tests/support/make_jsonl_sample.py`. The same bytes come out on every machine: the
seed is fixed, and only integers are drawn. `TROUBLES` and `WARNINGS` say what is wrong.
"""

import json
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

FILE = Path(__file__).parents[2] / "sample_data" / "events.jsonl"
ROWS = 594
BLANK_LINES = 4
SEED = 20260106
START = datetime(2026, 1, 6, 6, 0, tzinfo=UTC)
NAMESPACE = uuid.UUID("0b0f8c1e-6a52-4d8e-9f43-5b1de7a1c9d2")
GOODS = [("TEA-0012", "Tea, green", "12.90"), ("CUP-0440", 'Cup "Hygge"', "18.50")]
GOODS += [("SOA-0105", "Soap 🌿 lavender", "6.90"), ("TWL-0500", "Towel, 50×90", "19.90")]
PEOPLE = [("Zoë", "Müller"), ("José", "García"), ("花子", "山田"), ("Иван", "Петров")]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with some lines.

    Args:
        code: What is reported; several with a space between.
        line: The line; `@` stands for the members that are right, with a comma before them.
        rows: How many lines are so.
        note: What is in them.
        also: A warning that the lines have besides.
    """

    code: str
    line: str | bytes
    rows: int
    note: str
    also: str = ""


WHO = '"customer_id":"004711"@'
EVENT = '"event":"screen_viewed"@'
TROUBLES = [
    Trouble("json_invalid", '{"event":"view",' + WHO, 2, "the line breaks off"),
    Trouble("json_invalid", '{"event":"view",' + WHO + ",}", 2, "a comma too many"),
    Trouble("json_invalid", "{'event':'view','customer_id':'004711'}", 2, "single quotes"),
    Trouble("json_invalid", '{"event":"view",' + WHO + ',"score":NaN}', 2, "`NaN`"),
    Trouble("json_invalid", '{"event":"view",' + WHO + ',"score":1e999}', 1, "`1e999`"),
    Trouble("json_invalid", '{"event":"view",' + WHO + ',"sku":007}', 1, "`007`"),
    Trouble("json_invalid", '{"event":"view",' + WHO + ',"q":"\\ud83d"}', 1, "half an emoji"),
    Trouble(
        "json_invalid",
        b'{"event":"view","customer_id":"004711","name":"Gr\xfcneberg"}',
        2,
        "Latin-1",
    ),
    Trouble("json_invalid", '{"event":"view"}{"event":"view"}', 1, "two objects on one line"),
    Trouble("json_invalid", "event,customer_id", 1, "a header of CSV"),
    Trouble(
        "json_invalid",
        '{"event":"view",' + WHO + ',"tree":' + "[" * 1100 + "]" * 1100 + "}",
        1,
        "1,100 brackets deep",
    ),
    Trouble("json_not_object", '[{"event":"view","customer_id":"004711"}]', 2, "an array"),
    Trouble("json_not_object", '"view"', 1, "a text"),
    Trouble("json_not_object", "null", 1, "`null`"),
    Trouble(
        "json_duplicate_key",
        '{"event":"view","customer_id":"1","customer_id":"2"@}',
        3,
        "two values of customer_id",
    ),
    Trouble(
        "json_duplicate_key",
        '{"event":"view","ev\\u0065nt":"purchase",' + WHO + "}",
        1,
        "`event` twice, once with an escape in its name",
    ),
    Trouble("event_missing", "{" + WHO + "}", 2, "no event"),
    Trouble("event_missing", '{"event":null,' + WHO + "}", 1, "`null`"),
    Trouble("event_missing", '{"event":" ",' + WHO + "}", 1, "a blank"),
    Trouble("event_not_string", '{"event":true,' + WHO + "}", 1, "`true`"),
    Trouble("event_not_string", '{"event":["view"],' + WHO + "}", 1, "an array"),
    Trouble("event_not_string event_numeric", '{"event":5,' + WHO + "}", 2, "the number 5"),
    Trouble("event_numeric", '{"event":"1e5",' + WHO + "}", 1, "the text `1e5`"),
    Trouble("event_has_period", '{"event":"cart.updated",' + WHO + "}", 2, "`cart.updated`"),
    Trouble("event_has_whitespace", '{"event":"add\\tto\\tcart",' + WHO + "}", 2, "tabs, escaped"),
    Trouble("event_too_long", '{"event":"' + "viewed_" * 10 + '",' + WHO + "}", 1, "70 characters"),
    Trouble("identity_missing", "{" + EVENT + "}", 3, "nobody"),
    Trouble(
        "identity_missing", "{" + EVENT + ',"customer_id":null,"email":""}', 2, "null and blank"
    ),
    Trouble("identity_not_string", "{" + EVENT + ',"customer_id":4711.5}', 2, "a fraction"),
    Trouble("identity_not_string", "{" + EVENT + ',"customer_id":{"id":1}}', 1, "an object"),
    Trouble("identity_not_string", "{" + EVENT + ',"email":false}', 1, "`false`"),
    Trouble("identity_placeholder", "{" + EVENT + ',"customer_id":"undefined"}', 2, "`undefined`"),
]
WARNINGS = [
    Trouble("identity_integer", "{" + EVENT + ',"customer_id":4711}', 6, "the number 4711"),
    Trouble(
        "identity_integer",
        "{" + EVENT + ',"customer_id":90071992547409931234567}',
        2,
        "a number that most programs would round",
    ),
    Trouble("timestamp_missing", '{"event":"screen_viewed","cookie":"c-1"}', 3, "no time"),
    Trouble(
        "timestamp_not_iso",
        '{"event":"screen_viewed","cookie":"c-1","timestamp":1767690000}',
        3,
        "seconds since 1970",
    ),
    Trouble("boolean_not_lowercase", "{" + EVENT + ',"cookie":"c-1","push":"TRUE"}', 2, "`TRUE`"),
    Trouble("ip_invalid", "{" + EVENT + ',"cookie":"c-1","ip":"300.1.2.3"}', 2, "`300.1.2.3`"),
]
AT_THE_END = ("last_line_unterminated", "the last line has no line end")


def sample() -> bytes:
    """The bytes of the file."""
    rng = random.Random(SEED)
    rows = [_row(rng, number) for number in range(ROWS)]
    troubles = [trouble for trouble in (*TROUBLES, *WARNINGS) for _ in range(trouble.rows)]
    places = rng.sample(range(20, ROWS - 5), len(troubles))
    for place, trouble in zip(places, troubles, strict=True):
        rows[place] = _spoilt(trouble, place)
    for place in sorted(rng.sample(range(20, ROWS - 5), BLANK_LINES), reverse=True):
        rows.insert(place, b"" if place % 2 else b"  \t")
    ends = [b"\r\n" if number % 50 == 7 else b"\n" for number in range(len(rows))]
    ends[-1] = b""
    return b"".join(row + end for row, end in zip(rows, ends, strict=True))


def _spoilt(trouble: Trouble, number: int) -> bytes:
    if isinstance(trouble.line, bytes):
        return trouble.line
    return trouble.line.replace("@", f',"timestamp":"{_time(number)}"').encode()


def _time(number: int) -> str:
    return f"{START + timedelta(seconds=number * 613):%FT%TZ}"


def _row(rng: random.Random, number: int) -> bytes:
    """One good line; what a reader must not touch is in many of them."""
    person = rng.randrange(120)
    row: dict[str, object] = {"event": "screen_viewed", "customer_id": f"{person:06d}"}
    if rng.randrange(3) == 0:
        row["email"] = f"shopper{person}@example.com"
    row["timestamp"] = _time(number)
    match rng.randrange(6):
        case 0:
            sku, title, price = rng.choice(GOODS)
            products = [{"sku": sku, "title": title, "quantity": rng.randrange(1, 4)}]
            row |= {"event": "purchase", "order_id": 9_007_199_254_740_993 + number}
            row |= {"products": products, "revenue": "@" + price}
        case 1:
            row |= {"event": "search", "query": rng.choice(['tea "green"', "thé", "お茶", "a\\b"])}
            row["number_of_results"] = rng.randrange(60)
        case 2:
            first, last = rng.choice(PEOPLE)
            row |= {"event": "identify", "firstname": first, "lastname": last}
            groups = [{"id": "newsletter", "subscribed": bool(rng.randrange(2))}]
            row |= {"subscription_groups": groups, "nickname": None}
        case _:
            row["screen"] = {"name": rng.choice(["home", "cart"]), "path": ["app", "main"]}
    match rng.randrange(12):
        case 0:
            row["event_uuid"] = str(uuid.uuid5(NAMESPACE, str(number)))
        case 1:
            row["event_uuid"] = None
        case _:
            pass
    style = {"separators": (",", ":")} if rng.randrange(4) else {}
    text = json.dumps(row, ensure_ascii=bool(rng.randrange(5) == 0), **style)  # type: ignore[arg-type] # two plain arguments
    for _, _, price in GOODS:
        # A price keeps its last zero: it is a number that was never read as one.
        text = text.replace(f'"@{price}"', price)
    return text.encode()


def expected() -> dict[str, int]:
    """How many records break each rule with severity error."""
    return _counted(TROUBLES)


def expected_warnings() -> dict[str, int]:
    """How many records have each warning that does not hang on the day."""
    return _counted([*WARNINGS, Trouble(AT_THE_END[0], "", 1, "")])


def _counted(troubles: list[Trouble]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for trouble in troubles:
        for code in trouble.code.split():
            counts[code] = counts.get(code, 0) + trouble.rows
    return dict(sorted(counts.items()))


def rejected() -> int:
    """How many records are rejected."""
    return sum(trouble.rows for trouble in TROUBLES)


def section() -> str:
    """The part of `sample_data/README.md` about this file."""
    return f"""
# JSON lines

`events.jsonl` looks like an app's export: {ROWS:,} records as JSON lines, with nested objects, \
numbers that no double can hold, escapes, and {BLANK_LINES} blank lines, which are no records. \
{rejected()} records are rejected and {ROWS - rejected():,} can be sent.

| code | records | what is in them |
|---|---:|---|
{_table(TROUBLES)}

Sent with a warning:

| code | records | what is in them |
|---|---:|---|
{_table(WARNINGS)}
| `{AT_THE_END[0]}` | 1 | {AT_THE_END[1]} |

The file is written by `python tests/support/make_jsonl_sample.py`.
"""


def _table(troubles: list[Trouble]) -> str:
    return "\n".join(
        f"| {' '.join(f'`{code}`' for code in trouble.code.split())} | {trouble.rows} "
        f"| {trouble.note} |"
        for trouble in troubles
    )


def main() -> None:
    """Write the file."""
    FILE.write_bytes(sample())


if __name__ == "__main__":
    main()
