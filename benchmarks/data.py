"""The files that the benchmarks read: events of a shop, the same each time.

14 columns, about 170 bytes a row; 1 % of the rows break a rule, 2 % have a line end in quotes, 40 %
have a cell of JSON. The JSON lines hold the same events, typed and without what is empty.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

COLUMNS = (
    "event",
    "customer_id",
    "timestamp",
    "email",
    "device_type",
    "order_id",
    "revenue",
    "currency",
    "products",
    "city",
    "country",
    "campaign",
    "referrer",
    "note",
)
_NAMES = ("page_view", "shop_visit", "search_done", "cart_seen", "banner_seen", "app_opened")
_DEVICES = ("phone", "tablet", "desktop")
_CITIES = ("Berlin", "São Paulo", "New York", "München", "Mumbai", "Tokyo", "Lima")
_BROKEN = 100
"""Each so-many-th row breaks a rule: no event, no identity, a placeholder, a name with a period."""
_BLOCK = 10_000


def row(number: int) -> list[str]:
    """One event as cells."""
    products = ""
    if number % 5 in {1, 3}:
        products = f'[{{"sku":"S-{number % 9973}","quantity":{number % 4 + 1}}}]'
    cells = [
        _NAMES[number % 6],
        f"c{number * 7919 % 10_000_000:07d}",
        f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
        f"p{number % 1_000_000}@example.com",
        _DEVICES[number % 3],
        f"o-{number:09d}",
        f"{number % 900}.{number % 100:02d}",
        "EUR" if number % 3 else "",
        products,
        _CITIES[number % 7],
        "DE" if number % 2 else "",
        f"spring-{number % 40}",
        f"https://example.com/p/{number % 5000}",
        "two\nlines" if number % 50 == 0 else f"note {number % 100}",
    ]
    if number % _BROKEN == _BROKEN // 2 + 1:
        place, wrong = ((0, ""), (1, ""), (1, "NULL"), (0, "page.view"))[number // _BROKEN % 4]
        cells[place] = wrong
        cells[3] = "" if place == 1 and not wrong else cells[3]
    return cells


def csv_line(number: int) -> str:
    """One event as a row of CSV."""
    return ",".join(_quoted(cell) for cell in row(number)) + "\n"


def _quoted(cell: str) -> str:
    if '"' in cell or "," in cell or "\n" in cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def json_line(number: int) -> str:
    """One event as a line of JSON: a number and a list are typed, empty ones are left out."""
    event: dict[str, object] = {
        name: cell for name, cell in zip(COLUMNS, row(number), strict=True) if cell
    }
    event["revenue"] = float(str(event["revenue"]))
    if "products" in event:
        event["products"] = json.loads(str(event["products"]))
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"


def broken(rows: int) -> int:
    """How many of so many rows break a rule."""
    first = _BROKEN // 2 + 1
    return (rows - first + _BROKEN - 1) // _BROKEN if rows > first else 0


def events(home: Path, rows: int, form: str) -> Path:
    """A file of so many events, made where it is not there yet.

    Args:
        home: Where to.
        rows: Events.
        form: `csv`, `jsonl`, or `rejects`: CSV of which every row breaks a rule.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{form}-{rows}.{'jsonl' if form == 'jsonl' else 'csv'}"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            file.write("" if form == "jsonl" else ",".join(COLUMNS) + "\n")
            file.writelines(_blocks(rows, _LINES[form]))
        unfinished.rename(path)
    return path


def _blocks(rows: int, line: Callable[[int], str]) -> Iterator[str]:
    for begin in range(0, rows, _BLOCK):
        yield "".join(map(line, range(begin, min(begin + _BLOCK, rows))))


def _rejected(number: int) -> str:
    return "," + csv_line(number).partition(",")[2]


_LINES: dict[str, Callable[[int], str]] = {
    "csv": csv_line,
    "jsonl": json_line,
    "rejects": _rejected,
}


def main() -> None:
    """Write the files that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--form", choices=sorted(_LINES), nargs="+", default=["csv", "jsonl"])
    given = parser.parse_args()
    for form in given.form:
        path = events(given.home, given.rows, form)
        print(f"{path}: {path.stat().st_size:,} bytes, {broken(given.rows):,} break a rule")


if __name__ == "__main__":
    main()
