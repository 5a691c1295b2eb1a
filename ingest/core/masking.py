"""Values made unreadable for reports that leave the team.

A value becomes `masked-` and a keyed hash: equal values of one report stay equal, so that rows can
be grouped and counted, and nothing leads back: the key is random and kept nowhere, so even a short
list of candidates cannot be tried. Two reports have two keys and cannot be joined.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from ingest.core.model import Reject, Stage, Violation

_DIGITS: Final = 12  # hexadecimal; one pair in 24,000,000 distinct values would look the same
MASKED: Final = re.compile(rf"masked-[0-9a-f]{{{_DIGITS}}}")
"""How a masked value looks."""

_SAID: Final = "The API's words are masked."


@dataclass(frozen=True, slots=True)
class Mask:
    """Masks the values of one report.

    Args:
        key: Random bytes, 16 to 64; used for one report, and forgotten.
    """

    key: bytes

    def value(self, text: str) -> str:
        """Mask a value; what is empty stays empty."""
        return text and self._hashed(text.encode("utf-8", "surrogatepass"))

    def reject(self, reject: Reject) -> Reject:
        """Mask what a reject holds; its id, place, codes and columns stay."""
        cells, raw = reject.cells, reject.raw
        said = reject.stage is Stage.API
        return replace(
            reject,
            cells=None if cells is None else tuple(cell and self.value(cell) for cell in cells),
            raw=None if raw is None else self._hashed(raw).encode(),
            violations=tuple(map(_unsaid, reject.violations)) if said else reject.violations,
        )

    def _hashed(self, content: bytes) -> str:
        return f"masked-{blake2b(content, key=self.key, digest_size=_DIGITS // 2).hexdigest()}"


def _unsaid(violation: Violation) -> Violation:
    """Without the words of a server, which may quote a value."""
    return replace(violation, message=_SAID)


def without_words(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Give a summary without what may hold a value: paths, constants, and a server's words."""
    error = dict(summary["error"])
    if error["code"]:
        error |= {"message": f"{error['code']} (masked)", "hint": ""}
    return {
        **summary,
        "reason": error["message"] or None,
        "error": error,
        "plan": {},
        "sources": [{**source, "path": _name(source["path"])} for source in summary["sources"]],
        "left_out": [{"path": _name(each["path"]), "reason": ""} for each in summary["left_out"]],
    }


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]
