"""How a time is written, as one pattern that both Python and Rust regular expressions read.

A format is compiled to a pattern with named groups, and the groups are put together by whoever
holds the values. Libraries that parse by a format are not used for this: they skip zone names,
pass second 60, take `.12` for 12 nanoseconds and eat blanks, all without a word.

Groups: `year` `year2` `month` `month_name` `day` `weekday` `hour` `hour12` `half` `minute`
`second` `fraction` `zone`. A group that is absent counts as zero; without `zone` the time is local.
"""

import re
from dataclasses import dataclass

from ingest.errors import UsageError

EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
"""Formats that count from 1970-01-01T00:00:00Z, with the microseconds of their unit."""

MONTHS = "january february march april may june july august september october november december"
WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday"

# At most 15 digits, so that milliseconds stay within 64 bits when counted in microseconds.
EPOCH_PATTERN = r"^(?P<sign>-?)(?P<whole>[0-9]{1,15})(?:\.(?P<fraction>[0-9]{1,9}))?$"

_HOUR = "[01]?[0-9]|2[0-3]"
_HOUR_2 = "[01][0-9]|2[0-3]"
_SIXTY_2 = "[0-5][0-9]"
_MONTH_2 = "0[1-9]|1[0-2]"
_DAY_2 = "0[1-9]|[12][0-9]|3[01]"
_OFFSET = f"[+-](?:{_HOUR_2})(?::?{_SIXTY_2})?"

# Extended and basic ISO 8601 calendar forms; a blank may stand for the T, as SQL writes it.
# `month_b` and so on are the groups of the basic form.
ISO_PATTERN = (
    rf"^(?P<year>[0-9]{{4}})(?:-(?P<month>{_MONTH_2})-(?P<day>{_DAY_2})"
    rf"(?:[T ](?P<hour>{_HOUR_2}):(?P<minute>{_SIXTY_2})"
    rf"(?::(?P<second>{_SIXTY_2})(?:[.,](?P<fraction>[0-9]{{1,9}}))?)?"
    rf"(?P<zone>Z|{_OFFSET})?)?"
    rf"|(?P<month_b>{_MONTH_2})(?P<day_b>{_DAY_2})"
    rf"(?:T(?P<hour_b>{_HOUR_2})(?P<minute_b>{_SIXTY_2})"
    rf"(?:(?P<second_b>{_SIXTY_2})(?:[.,](?P<fraction_b>[0-9]{{1,9}}))?)?"
    rf"(?P<zone_b>Z|{_OFFSET})?)?)$"
)

# A whole instant as the API documents it: such a text is right as it is.
INSTANT_PATTERN = (
    rf"^[0-9]{{4}}-(?:{_MONTH_2})-(?:{_DAY_2})T(?:{_HOUR_2}):{_SIXTY_2}:{_SIXTY_2}"
    rf"(?:\.[0-9]{{1,9}})?(?:Z|[+-](?:{_HOUR_2}):{_SIXTY_2})$"
)


@dataclass(frozen=True, slots=True)
class _Directive:
    group: str
    pattern: str
    strict: str = ""  # two digits, for use beside other digits

    @property
    def numeric(self) -> bool:
        return self.group not in {"month_name", "weekday", "half", "zone"}


def _names(words: str) -> str:
    spelled = [f"{word}|{word[:3]}" for word in words.split()]
    return "(?i:" + "|".join(spelled) + ")"


_SIXTY = "[0-5]?[0-9]"
_MONTH = _Directive("month_name", _names(MONTHS))
_WEEKDAY = _Directive("weekday", _names(WEEKDAYS))
_DIRECTIVES = {
    "Y": _Directive("year", "[0-9]{4}"),
    "y": _Directive("year2", "[0-9]{2}"),
    "m": _Directive("month", "0?[1-9]|1[0-2]", _MONTH_2),
    "d": _Directive("day", "0?[1-9]|[12][0-9]|3[01]", _DAY_2),
    "e": _Directive("day", " ?[1-9]|0[1-9]|[12][0-9]|3[01]", " [1-9]|[12][0-9]|3[01]"),
    "B": _MONTH,
    "b": _MONTH,
    "h": _MONTH,
    "A": _WEEKDAY,
    "a": _WEEKDAY,
    "H": _Directive("hour", _HOUR, _HOUR_2),
    "I": _Directive("hour12", "0?[1-9]|1[0-2]", _MONTH_2),
    "p": _Directive("half", "[aApP][mM]"),
    "M": _Directive("minute", _SIXTY, _SIXTY_2),
    "S": _Directive("second", _SIXTY, _SIXTY_2),
    "f": _Directive("fraction", "[0-9]{1,9}"),
    "z": _Directive("zone", f"Z|{_OFFSET}"),
    "Z": _Directive("zone", "UTC|GMT|Z"),
}
_SHORTHANDS = {
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "R": "%H:%M",
    "D": "%m/%d/%y",
    "n": "\n",
    "t": "\t",
}
# Not re.escape: Rust reads an escaped `<` or `>` as the edge of a word.
_META = re.compile(r"[\\.+*?()|\[\]{}^$]")
_PIECE = re.compile(r"%(.)|([^%]+)|%", re.DOTALL)


def compile_format(text: str) -> str:
    """The pattern of a strftime format.

    `%Y` takes four digits, `%y` two (00 to 68 are 2000 to 2068, as POSIX has it), the other
    numbers one or two, or exactly two where digits touch; `%f` one to nine. Names are English, in
    any letter case. `%z` takes `Z`, `+0200`, `+02:00` and `+02`; `%Z` only UTC, GMT and Z, for
    other names are ambiguous. All other text stands for itself, blanks too.

    Raises:
        UsageError: A directive is unknown, given twice, or year, month and day are not all there.
    """
    pieces = _pieces(text)
    groups = [piece.group for piece in pieces if isinstance(piece, _Directive)]
    _check(text, groups)
    patterns = [_pattern(pieces, index) for index in range(len(pieces))]
    return f"^{''.join(patterns)}$"


def _pieces(text: str) -> list[_Directive | str]:
    pieces: list[_Directive | str] = []
    for match in _PIECE.finditer(text):
        letter, literal = match[1], match[2]
        if literal is not None or letter == "%":
            pieces.append(literal or "%")
        elif letter in _SHORTHANDS:
            pieces.extend(_pieces(_SHORTHANDS[letter]))
        elif letter in _DIRECTIVES:
            pieces.append(_DIRECTIVES[letter])
        else:
            raise _refusal(text, f"%{letter or ''} is not known here")
    return pieces


def _pattern(pieces: list[_Directive | str], index: int) -> str:
    piece = pieces[index]
    if isinstance(piece, str):
        return _META.sub(r"\\\g<0>", piece)
    before = pieces[index - 1] if index else ""
    after = pieces[index + 1] if index + 1 < len(pieces) else ""
    touches = _digit(before, last=True) or _digit(after, last=False)
    return f"(?P<{piece.group}>{(piece.strict if touches else '') or piece.pattern})"


def _digit(piece: _Directive | str, *, last: bool) -> bool:
    if isinstance(piece, _Directive):
        return piece.numeric
    return (piece[-1:] if last else piece[:1]).isdigit()


def _check(text: str, groups: list[str]) -> None:
    present = set(groups)
    if len(groups) != len(present):
        raise _refusal(text, "it gives something twice")
    if len(present & {"year", "year2"}) != 1:
        raise _refusal(text, "it needs a year, %Y or %y")
    if len(present & {"month", "month_name"}) != 1 or "day" not in present:
        raise _refusal(text, "it needs a month (%m or %b) and a day (%d)")
    if ("hour12" in present) != ("half" in present) or present >= {"hour", "hour12"}:
        raise _refusal(text, "it needs %H, or %I together with %p")


def _refusal(text: str, why: str) -> UsageError:
    return UsageError(
        f"--timestamp-format {text!r} cannot be used: {why}",
        hint="use epoch_s, epoch_ms, or strftime with %Y %y %m %b %B %d %e %a %A %H %I %p %M %S "
        "%f %z %Z %F %T %R %D %%, such as '%Y-%m-%d %H:%M:%S'; without the flag ISO 8601 is read",
        code="timestamp_format_invalid",
    )
