"""Text from elsewhere, made safe to show: what a server said, as one printable line."""

import json

WORDS = 300
"""Characters of a server's words in a message."""


def words_of(body: bytes) -> str:
    """What the server said, as one line: escaped and capped. Total.

    Known shapes (contract: responses) are `errors` as a list or a dict, `error`, `message`; any
    other body is shown as it is.
    """
    answer = object_of(body)
    for name in ("errors", "error", "message"):
        said = _flat((answer or {}).get(name))
        if said:
            return escaped(said)
    return escaped(body.decode("utf-8", "backslashreplace"))


def _flat(value: object, *, depth: int = 4) -> str:
    """Nested errors as one text: `customer_id: can't be blank; event: is too long`."""
    if depth == 0 or value is None:
        return ""
    if isinstance(value, dict):
        parts = [f"{name}: {_flat(inner, depth=depth - 1)}" for name, inner in value.items()]
        return "; ".join(parts)
    if isinstance(value, list):
        parts = [_flat(inner, depth=depth - 1) for inner in value[:WORDS]]
        return "; ".join(dict.fromkeys(part for part in parts if part))
    return value if isinstance(value, str) else json.dumps(value)


def escaped(text: str, *, cap: int = WORDS) -> str:
    r"""Text from elsewhere as one printable line of at most `cap` characters.

    Blanks and line breaks become one space; control, format and other invisible characters (which
    could steer a terminal or turn text around) are written as `\xNN`, `\uNNNN` or `\UNNNNNNNN`.
    """
    shown = " ".join(text[: cap * 8].split())
    if not shown.isprintable():
        shown = "".join(map(_visible, shown))
    return shown if len(shown) <= cap else shown[: cap - 1] + "…"


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def object_of(body: bytes) -> dict[str, object] | None:
    """A body as a JSON object; None where it is anything else. Total."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):  # also bytes that are no text, and endless nesting
        return None
    return answer if isinstance(answer, dict) else None
