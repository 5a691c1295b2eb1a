"""Mended values that are beyond question; shown beside a reject, never applied.

Only what is mechanical: a blank or a period in an event name becomes an underscore, an identity
loses the blanks around it, `TRUE` becomes `true`. Where another rule is broken in the same column
there is no suggestion, for then the value is not merely misspelt.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from ingest.core.model import Reject, Violation

_BLANK: Final = "\\s\\x1c-\\x1f\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
_JOINTS: Final = re.compile(f"[{_BLANK}.]+")
_INVISIBLE: Final = re.compile("[\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\ufeff\\u00ad]+")
_EVENT: Final = frozenset({"event_has_period", "event_has_whitespace", "event_invisible_character"})
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+_?[0-9]*|_[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MOST_EVENT: Final = 64  # code points (contract: event name)


def suggester(header: Sequence[str]) -> Callable[[Reject], str]:
    """Give a function that suggests a mended value for a reject; empty where there is none.

    Args:
        header: The columns of the source.
    """
    places = {name: place for place, name in enumerate(header)}

    def suggest(reject: Reject) -> str:
        if reject.cells is None:
            return ""
        found = {
            name: mended
            for name, codes in _by_column(reject.violations).items()
            if name in places
            and (value := reject.cells[places[name]])
            and (mended := suggestion(value, codes))
        }
        if len(found) == 1:
            return next(iter(found.values()))
        return "; ".join(f"{name}: {value}" for name, value in found.items())

    return suggest


def suggestion(value: str, codes: frozenset[str]) -> str:
    """Give a mended value; empty where the codes are not all mechanical. Total.

    Args:
        value: The cell as it is.
        codes: Every code that names its column.
    """
    if codes and codes <= _EVENT:
        return _event_name(value)
    if codes == {"identity_outer_whitespace"}:
        return value.strip()
    if codes == {"boolean_not_lowercase"}:
        return value.lower()
    return ""


def _event_name(value: str) -> str:
    name = _JOINTS.sub("_", _INVISIBLE.sub("", value)).strip("_")
    if not name or len(name) > _MOST_EVENT or _NUMBER.fullmatch(name):
        return ""
    return name


def _by_column(violations: Sequence[Violation]) -> dict[str, frozenset[str]]:
    codes: dict[str, frozenset[str]] = {}
    for each in violations:
        for name in each.columns:
            codes[name] = codes.get(name, frozenset()) | {each.code}
    return codes
