"""Writes `sample_data/`: a shop's export, with every kind of trouble that a CSV file can hold.

Run `python tests/support/make_sample.py`. The same bytes come out on every machine: the seed is
fixed, and only integers are drawn. `TROUBLES` and `WARNINGS` say what is wrong with which row.
"""

import csv
import io
import json
import random
import runpy
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "sample_data"
ROWS = 2496
SEED = 20260105
START = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
NAMESPACE = uuid.UUID("2d0e9c5e-3b1a-4a57-8b5e-0d2b7c1a6f11")

COLUMNS = [
    "event",
    "customer_id",
    "email",
    "device_id",
    "device_type",
    "device_token",
    "cookie",
    "group_id",
    "ip",
    "timestamp",
    "event_uuid",
    "firstname",
    "lastname",
    "gender",
    "country",
    "sku",
    "category_id",
    "quantity",
    "order_id",
    "revenue",
    "currency",
    "coupon",
    "products",
    "query",
    "number_of_results",
    "url",
    "referrer",
    "newsletter",
    "comment",
    "latitude",
    "longitude",
    "subscription_groups",
]

Row = dict[str, str]
Change = Callable[[Row], bytes | None]

PEOPLE = [
    ("Jane", "Doe", "GB"),
    ("Zoë", "Müller", "DE"),
    ("José", "García", "ES"),
    ("Łukasz", "Wiśniewski", "PL"),
    ("Søren", "Ødegård", "NO"),
    ("花子", "山田", "JP"),
    ("Иван", "Петров", "BG"),
    ("Anaïs", "L'Écuyer", "FR"),
    ("Mary-Ann", "O'Brien", "IE"),
    ("Ahmet", "Çelik", "TR"),
    ("Priya", "Nair", "IN"),
    ("Chinedu", "Okafor", "NG"),
]
GOODS = [
    ("TEA-0012", "Tea, green", 1290, "drinks"),
    ("CUP-0440", 'Cup "Hygge"', 1850, "kitchen"),
    ("POT-0007", "Teapot, 1.2 l", 4490, "kitchen"),
    ("BAG-1001", "Tote bag", 990, "bags"),
    ("LMP-0300", "Lamp Ørsted", 12900, "light"),
    ("CND-0021", "Candle (set of 3)", 2400, "light"),
    ("SOA-0105", "Soap 🌿 lavender", 690, "bath"),
    ("TWL-0500", "Towel, 50×90", 1990, "bath"),
]
QUERIES = ["teapot", "green tea", "lampe, klein", "thé", "お茶", 'cup "hygge"', "gift 🎁", "50%"]
COMMENTS = [
    "Please leave it\nat the back door.",
    'He said "ring twice", then wait',
    "Ligging: 3e verdieping,\r\nlift is stuk",
    "Danke schön 🙂",
]
EVENTS = (
    ["view"] * 34
    + ["pageload"] * 20
    + ["add_to_cart"] * 14
    + ["search"] * 10
    + ["purchase"] * 7
    + ["identify"] * 6
    + ["remove_from_cart"] * 3
    + ["checkout"] * 3
    + ["wishlist_share"] * 2
    + ["quiz_completed"]
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong with some rows.

    Args:
        code: What is reported.
        change: Spoils a row; where the record itself is broken it gives the bytes instead.
        rows: How many rows have it.
        note: What is in them.
        also: A warning that the rows have besides.
    """

    code: str
    change: Change
    rows: int
    note: str
    also: str = ""


def _set(**cells: str) -> Change:
    def change(row: Row) -> None:
        row.update(cells)

    return change


def _nobody(row: Row) -> None:
    row.update(customer_id="", email="", device_id="", cookie="", group_id="")


def _only_group(row: Row) -> None:
    _nobody(row)
    row["group_id"] = "household-35838"


def _phone_without_token(row: Row) -> None:
    row.update(event="identify", device_type="ios", device_id="8ABE3FAA-0001", device_token="")


def _purchase_without_revenue(row: Row) -> None:
    row.update(_goods(random.Random(SEED), 1), event="purchase", order_id="R-77001", revenue="")


def _fewer(row: Row) -> bytes:
    return b",".join(_line(row).split(b",")[:7])


def _more(row: Row) -> bytes:
    return _line(row) + b",left over,twice"


def _plain(row: Row) -> None:
    """Make a record that has no quotes, so that one that is added is the only one."""
    row.update(comment="", products="", subscription_groups="", query="", event="view")


def _stray_quote(row: Row) -> bytes:
    _plain(row)
    row["query"] = "SIZE"
    return _line(row).replace(b",SIZE,", b',12" pot,')


def _text_after_quote(row: Row) -> bytes:
    _plain(row)
    row["query"] = "SIZE"
    return _line(row).replace(b",SIZE,", b',"teapot" large,')


def _latin_1(row: Row) -> bytes:
    row["lastname"] = "SURNAME"
    return _line(row).replace(b"SURNAME", "Grüneberg".encode("latin-1"))


def _cut_character(row: Row) -> bytes:
    row["firstname"] = "FIRST"
    return _line(row).replace(b"FIRST", "Zoë".encode()[:-1])


TROUBLES = [
    Trouble("event_missing", _set(event=""), 4, "the cell is empty"),
    Trouble("event_missing", _set(event="  "), 2, "the cell is blank"),
    Trouble("event_too_long", _set(event="viewed_the_page_of_a_product_" * 3), 3, "87 characters"),
    Trouble("event_has_period", _set(event="cart.updated"), 5, "`cart.updated`"),
    Trouble("event_has_whitespace", _set(event="add to cart"), 4, "`add to cart`"),
    Trouble("event_has_whitespace", _set(event="purchase "), 3, "a blank at the end"),
    Trouble("event_has_whitespace", _set(event="page\u00a0load"), 2, "a no-break space inside"),
    Trouble("event_numeric", _set(event="1024"), 4, "`1024`"),
    Trouble("event_numeric", _set(event="1e5"), 1, "`1e5`"),
    Trouble("event_has_period event_numeric", _set(event="12.5"), 2, "`12.5`: two codes a row"),
    Trouble("identity_missing", _nobody, 9, "nobody: all five cells are empty"),
    Trouble("identity_placeholder", _set(customer_id="NULL"), 4, "`NULL` as customer_id"),
    Trouble(
        "identity_placeholder", _set(email="undefined"), 2, "`undefined` as email", "email_unusual"
    ),
    Trouble(
        "identity_placeholder", _set(device_id="\\N"), 1, "`\\N` as device_id", "identity_too_short"
    ),
    Trouble("value_not_json", _set(products="[{'sku': 'TEA-0012'}]"), 3, "Python, not JSON"),
    Trouble("value_not_json", _set(products="TEA-0012|CUP-0440"), 2, "a list with bars"),
    Trouble("value_not_json", _set(subscription_groups='[{"id":"news"'), 1, "JSON cut short"),
    Trouble("row_too_few_fields", _fewer, 5, "the line ends after seven fields"),
    Trouble("row_too_many_fields", _more, 5, "two fields more than the header has"),
    Trouble("quote_illegal", _stray_quote, 2, 'a stray quote: `12" pot`'),
    Trouble("quote_illegal", _text_after_quote, 2, "text after a closing quote"),
    Trouble("utf8_invalid", _latin_1, 3, "a surname in Latin-1"),
    Trouble("utf8_invalid", _cut_character, 1, "a character cut in two"),
]
AT_THE_END = [
    ("quote_unclosed", "a quote that is never closed, three records before the end"),
    ("row_truncated", "the file breaks off in the last record"),
]
WARNINGS = [
    Trouble("timestamp_missing", _set(timestamp=""), 6, "no time"),
    Trouble("timestamp_not_iso", _set(timestamp="05/01/2026 10:15"), 5, "`05/01/2026 10:15`"),
    Trouble("timestamp_in_future", _set(timestamp="2099-12-31T23:59:59Z"), 2, "the year 2099"),
    Trouble("event_uuid_not_rfc4122", _set(event_uuid="evt-000042"), 1, "`evt-000042`"),
    Trouble("email_unusual", _set(email="jane.doe@localhost"), 4, "`jane.doe@localhost`"),
    Trouble("ip_invalid", _set(ip="300.1.2.3"), 3, "`300.1.2.3`"),
    Trouble("latitude_not_number", _set(latitude="52,52", longitude="13.4"), 2, "`52,52`"),
    Trouble("longitude_not_number", _set(latitude="52.52", longitude="13,4"), 1, "`13,4`"),
    Trouble("identity_only_group", _only_group, 3, "a group_id alone"),
    Trouble("identity_too_long", _set(customer_id="c" * 130), 1, "130 characters"),
    Trouble("identity_too_short", _set(device_id="dev-7"), 2, "`dev-7`"),
    Trouble("identity_outer_whitespace", _set(customer_id=" 008123"), 2, "` 008123`"),
    Trouble("identify_device_incomplete", _phone_without_token, 3, "a phone without its token"),
    Trouble("name_reserved", _set(event="bsft_open"), 1, "`bsft_open`"),
    Trouble("event_invisible_character", _set(event="wish\u200blist"), 2, "a zero-width space"),
    Trouble("boolean_not_lowercase", _set(newsletter="TRUE"), 8, "`TRUE` for true"),
    Trouble("purchase_without_revenue", _purchase_without_revenue, 2, "an order without revenue"),
]


def sample() -> bytes:
    """The bytes of `events.csv`."""
    rng = random.Random(SEED)
    rows = [_row(rng, number) for number in range(ROWS)]
    spoilt: dict[int, bytes] = {}
    # The last rows stay sound: what ends the file has its own place there.
    free = rng.sample(range(20, ROWS - 10), sum(t.rows for t in [*TROUBLES, *WARNINGS]))
    for trouble in [*TROUBLES, *WARNINGS]:
        for _ in range(trouble.rows):
            number = free.pop()
            row = rows[number]
            # Another event could break a rule of its own, and blur what the row is for.
            _plain(row)
            raw = trouble.change(row)
            if raw is not None:
                spoilt[number] = raw
    lines = [spoilt.get(number) or _line(row) for number, row in enumerate(rows)]
    header = ",".join(COLUMNS).encode()
    return b"\r\n".join([header, *lines, *_end(rows[-1])])


def _end(row: Row) -> list[bytes]:
    """The last four records; the last one has no line end and not all its fields."""
    _plain(row)
    row["query"] = "SIZE"
    whole = _line(row)
    open_quote = whole.replace(b",SIZE,", b',"teapot,')
    row.update(query="", event="pageload")
    return [open_quote, _line(row), _line(row | {"event": "view"}), whole[: len(whole) // 2]]


def _row(rng: random.Random, number: int) -> Row:
    person = rng.randrange(240)
    first, last, country = PEOPLE[person % len(PEOPLE)]
    event = rng.choice(EVENTS)
    row = dict.fromkeys(COLUMNS, "")
    row |= _who(rng, person)
    row |= {
        "event": event,
        "ip": f"203.0.113.{rng.randrange(1, 255)}" if rng.randrange(6) else "2001:db8::8a2e:7334",
        "timestamp": f"{START + timedelta(seconds=number * 611 + rng.randrange(600)):%FT%TZ}",
        "country": country,
    }
    if rng.randrange(10) == 0:
        row["event_uuid"] = str(uuid.uuid5(NAMESPACE, str(number)))
    row |= _details(rng, event, number)
    if event != "identify":
        row["device_token"] = ""
    else:
        row |= {"firstname": first, "lastname": last, "newsletter": rng.choice(["true", "false"])}
    return row


def _who(rng: random.Random, person: int) -> Row:
    """Known by number and mail, by mail, on a phone, or by cookie alone."""
    known = {"customer_id": f"{person + 8120:06d}", "email": f"shopper{person}@example.com"}
    match rng.randrange(10):
        case 0:
            return {"email": known["email"]}
        case 1:
            return {"cookie": str(uuid.uuid5(NAMESPACE, f"cookie {person}"))}
        case 3 | 4:
            phone = str(uuid.uuid5(NAMESPACE, f"device {person}"))
            kind = "ios" if person % 2 else "android"
            return known | {"device_id": phone, "device_type": kind, "device_token": phone[:8] * 2}
        case _:
            return known


def _details(rng: random.Random, event: str, number: int) -> Row:
    match event:
        case "view" | "add_to_cart" | "remove_from_cart" | "wishlist_share":
            sku, _, _, category = rng.choice(GOODS)
            quantity = "" if event in {"view", "wishlist_share"} else str(rng.randrange(1, 4))
            url = f"https://shop.example/{sku.lower()}" if event == "view" else ""
            return {"sku": sku, "category_id": category, "quantity": quantity, "url": url}
        case "purchase" | "checkout":
            more = {"comment": rng.choice(COMMENTS)} if rng.randrange(3) == 0 else {}
            coupon = {"coupon": "SPRING10"} if rng.randrange(4) == 0 else {}
            order = {"order_id": f"R-{70_000 + number}"} if event == "purchase" else {}
            return _goods(rng, rng.randrange(1, 4)) | order | coupon | more
        case "search":
            return {"query": rng.choice(QUERIES), "number_of_results": str(rng.randrange(60))}
        case "identify":
            return {
                "gender": rng.choice(["female", "male", "unknown"]),
                "subscription_groups": _json(
                    [{"id": "newsletter", "subscribed": bool(rng.randrange(2))}]
                ),
            }
        case "pageload":
            page = rng.choice(["", "tea", "kitchen", "sale", "über-uns"])
            referrer = rng.choice(["", "", "https://www.example.org/?q=tea,pot"])
            return {"url": f"https://shop.example/{page}", "referrer": referrer}
        case _:
            return {}


def _goods(rng: random.Random, count: int) -> Row:
    items = [(rng.choice(GOODS), rng.randrange(1, 4)) for _ in range(count)]
    cents = sum(good[2] * quantity for good, quantity in items)
    products = [
        {"sku": sku, "title": title, "quantity": quantity, "price": cents / 100}
        for (sku, title, cents, _), quantity in items
    ]
    return {
        "products": _json(products),
        "revenue": f"{cents // 100}.{cents % 100:02d}",
        "currency": "EUR",
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _line(row: Row) -> bytes:
    text = io.StringIO()
    # The writer quotes line ends only where they could be its own.
    csv.writer(text, lineterminator="\r\n").writerow([row[name] for name in COLUMNS])
    return text.getvalue().removesuffix("\r\n").encode()


def expected() -> dict[str, int]:
    """How many records break each rule with severity error; a record may break two."""
    counts = dict.fromkeys((code for code, _ in AT_THE_END), 1)
    for trouble in TROUBLES:
        for code in trouble.code.split():
            counts[code] = counts.get(code, 0) + trouble.rows
    return dict(sorted(counts.items()))


def expected_warnings() -> dict[str, int]:
    """How many records break each rule with severity warning, as seen in February 2026."""
    counts: dict[str, int] = {}
    for code, rows in [(t.code, t.rows) for t in WARNINGS] + [(t.also, t.rows) for t in TROUBLES]:
        if code:
            counts[code] = counts.get(code, 0) + rows
    return dict(sorted(counts.items()))


def rejected() -> int:
    """How many records are rejected."""
    return sum(trouble.rows for trouble in TROUBLES) + len(AT_THE_END)


def records() -> int:
    """How many records the file has."""
    return ROWS + 4


def readme() -> str:
    """The text of `sample_data/README.md`."""
    warned = sum(trouble.rows for trouble in WARNINGS)
    return f"""# Sample data

`events.csv` looks like a shop's export: {records():,} records of {len(COLUMNS)} columns, with views, \
carts, purchases (`products` is a JSON cell), searches, page loads, `identify` with \
`subscription_groups`, and events of the shop's own. Some cells hold commas, quotes, line ends, \
emoji and names in several scripts. Lines end with CRLF. Nobody in it is real.

{rejected()} records are rejected and {records() - rejected():,} can be sent.

## Rejected

| code | records | what is in them |
|---|---:|---|
{_table(TROUBLES)}
{chr(10).join(f"| `{code}` | 1 | {note} |" for code, note in AT_THE_END)}

Not in it: `record_too_large` and `event_too_large`, which need a megabyte each, and the codes of \
JSONL and of `--type`.

## Sent with a warning

{warned} records have one of these; the events are of January 2026, so \
the older they get, the more have `timestamp_old`, too; and the records that begin in the 64 lines \
after an illegal quote are marked `resynced`.

| code | records | what is in them |
|---|---:|---|
{_table(WARNINGS)}

The files are written by `python tests/support/make_sample.py`.
"""


def _table(troubles: Iterable[Trouble]) -> str:
    return "\n".join(
        f"| {' '.join(f'`{code}`' for code in trouble.code.split())} | {trouble.rows} "
        f"| {trouble.note} |"
        for trouble in troubles
    )


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "events.csv").write_bytes(sample())
    json_lines = Path(__file__).with_name("make_jsonl_sample.py")
    section = runpy.run_path(str(json_lines))["section"]()
    (FOLDER / "README.md").write_text(readme() + section, encoding="utf-8")


if __name__ == "__main__":
    main()
