r"""Which edits of a returned reject are taken, and what a spreadsheet spoiled.

The rules, in prose:

- An edit counts only in the columns that the reject's codes name. A code that names no column
  speaks of the whole record: then all are open. `--accept-edits` opens a column for all rejects.
- Any other difference is undone: the stored original holds. Where it looks like the work of a
  spreadsheet (`00123` to `123`) it is only counted; else it is named, since somebody meant it.
- In an open column the same look is a reason to refuse the row: nobody can tell whether it was
  meant. A file that no spreadsheet writes (JSON Lines) is not suspected.
- Line ends within a cell are no difference: spreadsheets write their own.

What a spreadsheet does to a text that it takes for a value:

| original | what comes back |
|---|---|
| `00123` | `123` |
| `12345678901234567890` | `1.23456789012346E+19`, `12345678901234600000` |
| `1E5`, `1.50` | `100000`, `1.00E+05`, `1.5`, `1,5` |
| `=1+1`, `@who` | `2`, `#NAME?` |
| `2024-03-01`, `1-2` | `01/03/24`, `45352`, `01. Feb` |
| `true` | `TRUE`, `WAHR` |
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Final

from ingest.core.guard import guard, is_formula_like, unguard
from ingest.core.model import Violation

OUTCOMES: Final[Mapping[str, str]] = {
    "delivered": "delivered",
    "refused": "refused by the API",
    "not_sent": "mended, not sent yet: give the same command again",
    "still_rejected": "mended, and rejected again",
    "unchanged": "not mended",
    "spoiled": "left alone: changed by a spreadsheet, as it seems",
    "edited_elsewhere": "left alone: changed where no code points",
    "twice": "left alone: the same reject twice, with different values",
    "in_doubt": "left alone: an earlier mending may have arrived",
    "already_delivered": "delivered before",
    "held": "held until you decide",
    "not_rejected": "not among the rejects",
    "not_kept": "too large to be kept: mend the source",
    "unreadable": "without a sound _reject_id",
    "not_looked_at": "not looked at",
}
"""What may become of a row that came back, in words."""

WHOLE_RECORD: Final = "*"
"""Among open columns: all of them."""

_NUMBER_CODES: Final = frozenset(
    {"value_not_number", "number_not_plain", "latitude_not_number", "longitude_not_number"}
)
_TIME_CODES: Final = frozenset({"value_not_date", "timestamp_not_iso", "timestamp_in_future"})

_PLAIN: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SHORTENED: Final = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E[+-]?[0-9]{2,3}")
_GROUPED: Final = re.compile(
    r"[+-]?[0-9]{1,3}(?:([.,' \u00a0\u202f])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?"
)
_ERROR: Final = re.compile(
    r"#(?:NAME\?|REF!|VALUE!|DIV/0!|N/A|NUM!|NULL!|WERT!|BEZUG!)|Err:[0-9]{3}"
)
_ISO: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?")
_SERIAL: Final = re.compile(r"[1-9][0-9]{4}(?:[.,][0-9]+)?")
_TRUTH: Final = {
    "true": frozenset({"TRUE", "WAHR", "VRAI", "VERDADERO", "VERO", "WAAR"}),
    "false": frozenset({"FALSE", "FALSCH", "FAUX", "FALSO", "ONWAAR"}),
}
_TIME_CHARACTERS: Final = re.compile(r"(?:[^\W_]|[\s./:,+-]){3,40}")
_TIME_TOKENS: Final = re.compile(r"[0-9]+|[^\W\d_]+")
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janv", "feb february februar févr", "mar march mär märz mars mrz",
            "apr april avr", "may mai mayo", "jun june juni juin", "jul july juli juil",
            "aug august août", "sep sept september", "oct october okt oktober",
            "nov november", "dec december dez dezember déc",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_HALF_DAY: Final = re.compile(r"[0-9] ?[ap]m")
_TIME_WORDS: Final = frozenset({"t", "z", "am", "pm", "utc", "gmt"})
_MOST_DEPTH: Final = 64  # of objects in objects; what differs deeper differs at that depth
_MOST_NUMBER: Final = 400  # characters; a double ends at 309 digits
_DIGITS: Final = 15  # what a spreadsheet keeps of a number
_MOST_CELL: Final = 32_767  # UTF-16 units, the limit of a workbook's cell


@dataclass(frozen=True, slots=True)
class Original:
    """A reject as it is kept.

    Args:
        header: The columns of its source.
        cells: Its cells, in the order of the header; None for a record without.
        raw: Its bytes as `core.guard.escape_raw` shows them; None where it has cells, or was too
            large to be kept.
        violations: Why it was rejected.
    """

    header: Sequence[str]
    cells: Sequence[str | None] | None
    raw: str | None
    violations: Sequence[Violation]


@dataclass(frozen=True, slots=True)
class Returned:
    """The same reject as it came back.

    Args:
        cells: By column, only those that came back; None: empty.
        raw: From `_reject_raw`; None where it did not come back.
        formulas: Columns whose cell is a formula.
        cut: Columns whose cell was too long for a workbook.
        rounded: Columns whose cell is a number of more digits than a spreadsheet keeps.
        exact: No spreadsheet had its hands on it.
        guarded: Whether an apostrophe before a formula is a guard's.
    """

    cells: Mapping[str, str | None]
    raw: str | None = None
    formulas: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    rounded: frozenset[str] = frozenset()
    exact: bool = False
    guarded: bool = True


@dataclass(frozen=True, slots=True)
class Mending:
    """What a returned reject comes to.

    Args:
        cells: The original with the edits that are taken; None for a record without cells.
        raw: Likewise its text.
        edits: The columns in which an edit is taken; `_reject_raw` for the text.
        ignored: Columns with an edit that is not taken, since no code names them.
        spoiled: By open column, what a spreadsheet seems to have done: the row is to be refused.
        restored: Cells that a spreadsheet changed in other columns.
    """

    cells: tuple[str | None, ...] | None
    raw: str | None
    edits: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    spoiled: Mapping[str, str] = field(default_factory=dict)
    restored: int = 0


RAW: Final = "_reject_raw"


def open_columns(violations: Sequence[Violation]) -> frozenset[str]:
    """Give the columns that codes open; `WHOLE_RECORD` among them stands for all."""
    names = {name for each in violations for name in each.columns}
    return frozenset(names | {WHOLE_RECORD for each in violations if not each.columns})


def mend(original: Original, returned: Returned, *, opened: Collection[str]) -> Mending:
    """Compare a returned reject with what is kept, and take the edits that are allowed. Total.

    Args:
        original: As kept.
        returned: As it came back.
        opened: The columns in which edits are taken: those of `open_columns`, of `--accept-edits`,
            and of the codes that an earlier mending led to.
    """
    if original.cells is None:
        return _mend_text(original, returned)
    cells = list(original.cells)
    edits: list[str] = []
    ignored: list[str] = []
    spoiled: dict[str, str] = {}
    restored = 0
    everything = WHOLE_RECORD in opened
    for place, (name, was) in enumerate(zip(original.header, original.cells, strict=True)):
        came = returned.cells.get(name, was) or ""
        if _same(was or "", came, exact=returned.exact):
            continue
        found = _read(came, returned)
        why = _why_spoiled(original, returned, name, was or "", found)
        if everything or name in opened:
            if why:
                spoiled[name] = why
            else:
                cells[place] = found or None
                edits.append(name)
        elif why:
            restored += 1
        else:
            ignored.append(name)
    return Mending(tuple(cells), None, tuple(edits), tuple(ignored), spoiled, restored)


def _mend_text(original: Original, returned: Returned) -> Mending:
    """A record that could not be read is mended in its text alone."""
    ignored = tuple(name for name in original.header if returned.cells.get(name))
    text, was = returned.raw, original.raw
    if was is None or text is None or _same(was, text, exact=returned.exact):
        return Mending(None, was, ignored=ignored)
    found = _read(text, returned)
    if RAW in returned.cut:
        return Mending(None, was, ignored=ignored, spoiled={RAW: "it was cut by the workbook"})
    if RAW in returned.formulas:
        return Mending(None, was, ignored=ignored, spoiled={RAW: "it is a formula"})
    return Mending(None, found, edits=(RAW,), ignored=ignored)


def changed_members(
    was: object, found: object, *, path: str = "", depth: int = _MOST_DEPTH
) -> Iterator[str]:
    """Yield the paths at which two JSON values differ; inside objects only. Total."""
    if depth and isinstance(was, dict) and isinstance(found, dict):
        for name in dict.fromkeys((*was, *found)):
            inner = f"{path}.{name}" if path else f"{name}"
            if (name in was) != (name in found):
                yield inner
            elif name in was:
                yield from changed_members(was[name], found[name], path=inner, depth=depth - 1)
    elif was != found or type(was) is not type(found):
        yield path


def not_open(paths: Iterable[str], opened: Collection[str]) -> tuple[str, ...]:
    """The paths at which no edit is taken: those neither in nor around an open one."""
    if WHOLE_RECORD in opened:
        return ()
    return tuple(
        path
        for path in paths
        if not any(f"{path}.".startswith(f"{o}.") or f"{o}.".startswith(f"{path}.") for o in opened)
    )


def _same(was: str, found: str, *, exact: bool) -> bool:
    if exact:
        return found == was
    if found in (was, guard(was)):
        return True
    lines = _lines(was)
    return _lines(found) in (lines, guard(lines), _lines(guard(was)), _written(lines))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _written(text: str) -> str:
    """As reports write what UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _read(found: str, returned: Returned) -> str:
    return unguard(found) if returned.guarded and not returned.exact else found


def _why_spoiled(original: Original, returned: Returned, name: str, was: str, found: str) -> str:
    if returned.exact:
        return ""
    if name in returned.cut:
        return "it was cut by the workbook"
    if name in returned.formulas:
        return "it is a formula"
    codes = {each.code for each in original.violations if name in each.columns}
    number = bool(codes & _NUMBER_CODES)
    if name in returned.rounded and not number:
        return f"it is a number of more than {_DIGITS} digits, which a spreadsheet rounds"
    return damage(was, found, number=number, time=bool(codes & _TIME_CODES))


def damage(was: str, found: str, *, number: bool = False, time: bool = False) -> str:
    """Say what a spreadsheet seems to have done to a text; empty where nothing. Total.

    Args:
        was: The original; empty where there was nothing.
        found: What came back; another text.
        number: It was rejected as no proper number: another way to write it is a mend.
        time: It was rejected as no proper time: ISO 8601 is a mend.
    """
    if _ERROR.fullmatch(found):
        return f"{found} is what a spreadsheet shows for a formula that fails"
    if _SHORTENED.fullmatch(found) and not number:
        return f"{found} is how a spreadsheet shortens a number"
    if not was:
        return ""
    if found in _TRUTH.get(was.lower(), ()) and was != was.upper():
        return f"{was} became {found}"
    if len(was) > _MOST_CELL // 2 and was.startswith(found) and len(found) >= _MOST_CELL // 2:
        return "it was cut by a spreadsheet"
    return _rewritten_number(was, found, number=number) or _rewritten_time(was, found, time=time)


def _rewritten_number(was: str, found: str, *, number: bool) -> str:
    values = _values(found)
    if is_formula_like(was) and not number and (values or _ERROR.search(found)):
        return "a formula was worked out"
    if number or not values or not _is_plain(was):
        return ""
    whole = Decimal(was)
    if not any(_equal(whole, value) for value in values):
        return ""
    if was.lstrip("+-").startswith("0") and len(was.lstrip("+-")) > 1:
        return "leading zeros are lost"
    return "the number was rewritten"


def _is_plain(text: str) -> bool:
    return len(text) <= _MOST_NUMBER and _PLAIN.fullmatch(text) is not None


def _values(text: str) -> list[Decimal]:
    """The numbers that a text can stand for, in any of the usual ways to write one."""
    if len(text) > _MOST_NUMBER:
        return []
    readings = {text, text.replace(",", ".")}
    grouped = _GROUPED.fullmatch(text)
    if grouped:
        readings.add(text.replace(grouped[1], "").replace(",", "."))
    return [Decimal(each) for each in readings if _PLAIN.fullmatch(each)]


def _equal(whole: Decimal, value: Decimal) -> bool:
    """Whether they are the same number, as far as a spreadsheet keeps or shows it."""
    if whole == value:
        return True
    digits = min(len(value.normalize(_context(_MOST_NUMBER)).as_tuple().digits), _DIGITS)
    shown = _context(digits)
    # A short number that is only near is another number, not a shortened one.
    worth = len(whole.as_tuple().digits) > max(digits, 5)
    return worth and shown.plus(whole) == shown.plus(value)


def _context(digits: int) -> Context:
    return Context(prec=digits, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


def _rewritten_time(was: str, found: str, *, time: bool) -> str:
    first = _time_numbers(was)
    if not first or (time and _ISO.fullmatch(found)):
        return ""
    if _SERIAL.fullmatch(found) and not _is_plain(was):
        return "a date became a number"
    second = _time_numbers(found)
    # The same form with other digits was typed: a spreadsheet has one form for a date.
    if not second or _form(was) == _form(found):
        return ""
    if _HALF_DAY.search(was.lower()) or _HALF_DAY.search(found.lower()):
        first, second = _by_twelve(first), _by_twelve(second)
    if _within(first, second) or _within(second, first):
        return "a date was rewritten"
    return ""


def _form(text: str) -> str:
    return re.sub("[0-9]", "0", text)


def _time_numbers(text: str) -> list[int]:
    """The numbers of what reads like a date or a time, months as numbers; else none."""
    if _is_plain(text) or not _TIME_CHARACTERS.fullmatch(text):
        return []
    numbers = []
    for token in _TIME_TOKENS.findall(text.lower()):
        if token.isdecimal() and token.isascii():
            numbers.append(int(token[:8]) % 100)
        elif token in _MONTHS:
            numbers.append(_MONTHS[token])
        elif token not in _TIME_WORDS:
            return []
    if not 2 <= len(numbers) <= 8:  # noqa: PLR2004 - a day and a month; all parts of an instant
        return []
    return [number for number in numbers if number] or [0]


def _by_twelve(numbers: list[int]) -> list[int]:
    return [number % 12 for number in numbers if number % 12]


def _within(few: list[int], many: list[int]) -> bool:
    left = list(many)
    for number in few:
        if number not in left:
            return False
        left.remove(number)
    return True
