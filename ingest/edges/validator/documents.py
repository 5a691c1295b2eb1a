"""Finds and loads the schema documents, and hands schemas to jsonschema-rs.

Patterns run in linear time. One that needs look-around or back-references is refused: the engine
of jsonschema-rs that has them gives up silently at its limit, with a wrong verdict.
"""

import json
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import jsonschema_rs

from ingest.core.model import Json
from ingest.errors import UsageError


def load_documents(extra: Iterable[Path] = ()) -> dict[str, Json]:
    """The schema documents, checked against the meta-schema.

    Args:
        extra: Files of `--schema`; each has its own `x-event`: an event's name, whose document it
            adds or replaces, or `*` for rules over all events.

    Returns:
        By name: `event`, `codes`, and `events/NAME` for each event with a document.

    Raises:
        UsageError: A file cannot be read, is no JSON Schema, or has no `x-event`.
    """
    root = _schemas()
    names = ["event.json", "codes.json"]
    documents = {name.removesuffix(".json"): _parsed(root / name) for name in names}
    files = [_parsed(file) for file in (root / "events").iterdir() if file.name.endswith(".json")]
    for document in sorted(files, key=_event_of):
        documents[f"events/{_event_of(document)}"] = document
    documents |= _own(extra)
    for name, document in documents.items():
        if name != "codes":
            native(document, name)
    return documents


def _own(paths: Iterable[Path]) -> dict[str, Json]:
    """The documents of `--schema`, by name."""
    documents: dict[str, Json] = {}
    for path in paths:
        document = _parsed(path)
        name = f"events/{_event_of(document)}"
        if not _event_of(document):
            hint = 'Add "x-event": "NAME" for the events of one name, or "x-event": "*" for all.'
            raise UsageError(f"{path} has no x-event", hint=hint, code="schema_broken")
        if name in documents:
            message = f"{path}: another --schema has the same x-event"
            raise UsageError(message, hint="Join them into one file.", code="schema_broken")
        documents[name] = document
    return documents


def _schemas() -> Traversable | Path:
    """Where the schemas are: in the package when installed, beside it in a checkout."""
    inside = resources.files("ingest") / "schemas"
    beside = Path(__file__).parents[3] / "schemas"
    return inside if inside.is_dir() else beside


def _event_of(document: Json) -> str:
    event = document.get("x-event")
    return event.strip() if isinstance(event, str) else ""


def _parsed(path: Traversable | Path) -> Json:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        hint = "Name a JSON Schema file that can be read."
        raise UsageError(f"{path}: {error}", hint=hint, code="schema_broken") from error
    if not isinstance(document, dict):
        hint = "A schema file holds one JSON object."
        raise UsageError(f"{path}: not a JSON object", hint=hint, code="schema_broken")
    return document


def native(
    schema: Json, name: str, *, mask: str | None = None
) -> jsonschema_rs.Draft202012Validator:
    """The schema in jsonschema-rs, in linear time, without reaching out anywhere.

    Args:
        schema: The schema.
        name: What errors call it.
        mask: Stands in messages in place of values.

    Raises:
        UsageError: It is no JSON Schema 2020-12, or a pattern needs look-around.
    """
    try:
        return jsonschema_rs.Draft202012Validator(
            dict(schema),
            pattern_options=jsonschema_rs.RegexOptions(),
            validate_formats=True,
            ignore_unknown_formats=False,
            offline=True,
            mask=mask,
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        reason = str(error).splitlines()[0]
        hint = "Mend the schema; patterns are RE2-like, without look-around or back-references."
        message = f"schema {name}: {reason}"
        raise UsageError(message, hint=hint, code="schema_broken") from error
