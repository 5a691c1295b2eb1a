r"""`report.html`: one page that stands alone, from plain values.

Everything that is put in is escaped for HTML, and before that made visible: control characters and
marks that turn text round come out as `\x1b` or `\u202e`. The page has no script and fetches
nothing: its own policy forbids both.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, StrictUndefined, Template

from ingest.core.figures import counted, duration, size
from ingest.core.guard import printable

_MOST_TEXT: Final = 2_000  # characters; a path or a server's words may have any number


def render(page: Mapping[str, Any]) -> bytes:
    """Give the page as UTF-8.

    Args:
        page: What `report.html` beside this file names.
    """
    return _template().render(page).encode("utf-8", "backslashreplace")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_visible,
    )
    environment.filters |= {
        "figure": lambda number: f"{number:,}",
        "counted": counted,
        "duration": duration,
        "bytes": size,
        "percent": percent,
        "address": lambda path: quote(path.encode("utf-8", "surrogateescape"), safe="/"),
    }
    text = files("ingest.edges.page").joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(text)


def _visible(value: Any) -> Any:
    return printable(value, most=_MOST_TEXT) if type(value) is str else value


def percent(part: float, whole: float) -> str:
    """Give a share for a person: `12 %`, `0.3 %`, `< 0.1 %`."""
    share = 100 * part / whole if whole else 0.0
    if share == 0 or share >= 99.95:  # noqa: PLR2004 - what rounds to 100
        return f"{share:.0f} %" if part == whole or not part else "> 99.9 %"
    if share < 0.1:  # noqa: PLR2004 - what rounds to nothing
        return "< 0.1 %"
    return f"{share:.1f} %" if share < 10 or share > 99 else f"{share:.0f} %"  # noqa: PLR2004 - two digits are enough
