"""Whether the API would take an event: the rules of `schemas/`, judged by jsonschema-rs.

Each entry of a document's `allOf` is a rule. Those that only warn are left out, for the API takes
such events. What remains is one validator, asked once for all the events of a request; only where it
says no is each rule asked on its own, for the message.

The messages have the form of the API's: a list of {field: message}, without an index, so that a
caller cannot tell from it which event of a batch is meant.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jsonschema_rs

from ingest.sandbox.errors import SandboxError

Document = dict[str, Any]
BLANK = "can't be blank"
# The reference page's own example of a refusal; it stands for an event that names nobody.
SAID_BY_THE_PAGE = {"event_missing": ("event", BLANK), "identity_missing": ("customer_id", BLANK)}
_BASE = "urn:sandbox:event"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule, to be asked on its own.

    Args:
        code: Its reason code.
        event: The only name of events that it is about; None: all.
        field: Where its message is filed when no one field is at fault.
        message: What the API would say.
        validator: The rule.
    """

    code: str
    event: str | None
    field: str
    message: str
    validator: jsonschema_rs.Draft202012Validator

    def complaint(self, event: dict[str, Any]) -> dict[str, str] | None:
        """Give {field: message} where the event breaks this rule; otherwise None."""
        for error in self.validator.iter_errors(event):
            path = error.instance_path
            return {str(path[0]) if path else self.field: self.message}
        return None


class Judge:
    """The rules in force.

    Args:
        directory: Holds `event.json` and `events/*.json`; None: those of the package.
        identity: `strict`, or `page`: an event name without any identity is enough.
        identity_keys: Further names that count as an identity.

    Raises:
        SandboxError: The files are missing, or are no JSON Schema.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        identity: str = "strict",
        identity_keys: Sequence[str] = (),
    ) -> None:
        directory = directory or find_schemas()
        try:
            documents = {_BASE: _read(directory / "event.json")}
            for path in sorted((directory / "events").glob("*.json")):
                documents[f"{_BASE}:{path.stem}"] = _read(path)
            for document in documents.values():
                _keep_errors(document, identity=identity, identity_keys=identity_keys)
            self._compile(documents)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SandboxError(f"the rules in {directory} cannot be used: {error}") from error

    def _compile(self, documents: Mapping[str, Document]) -> None:
        registry = jsonschema_rs.Registry(list(documents.items()))

        def compiled(schema: Document) -> jsonschema_rs.Draft202012Validator:
            return jsonschema_rs.Draft202012Validator(
                schema,
                registry=registry,
                pattern_options=jsonschema_rs.RegexOptions(),  # linear time on any text
                offline=True,
            )

        parts = [_applied(uri, document) for uri, document in documents.items()]
        self._all = compiled({"type": "array", "items": {"type": "object", "allOf": parts}})
        self._rules = tuple(
            Rule(
                code=entry["x-code"],
                event=document.get("x-event"),
                field=_field(entry),
                message=SAID_BY_THE_PAGE.get(entry["x-code"], ("", entry["x-message"]))[1],
                validator=compiled({"$ref": f"{uri}#/allOf/{index}"}),
            )
            for uri, document in documents.items()
            for index, entry in enumerate(document.get("allOf", ()))
        )
        self._shapes = tuple(
            (document.get("x-event"), compiled(_without_rules(document)), _covered(document))
            for document in documents.values()
        )

    def are_valid(self, events: Sequence[object]) -> bool:
        """Tell whether every one of these is an event that the API takes."""
        return self._all.is_valid(cast("Any", events))

    def complaints(self, event: object) -> tuple[dict[str, str], ...]:
        """Give what is wrong with one event, as {field: message}; empty: nothing."""
        if not isinstance(event, dict):
            return ({"event": "is not an object"},)
        name = event.get("event")
        found = (rule.complaint(event) for rule in self._rules if rule.event in (None, name))
        return (*filter(None, found), *({field: "is invalid"} for field in self._misshapen(event)))

    def _misshapen(self, event: dict[str, Any]) -> Iterator[str]:
        """Yield the fields that break a document's own constraints, each once."""
        seen: set[str] = set()
        for name, shape, covered in self._shapes:
            if name in (None, event.get("event")) and not shape.is_valid(event):
                paths = (error.instance_path for error in shape.iter_errors(event))
                seen.update(str(path[0]) if path else "event" for path in paths)
                seen -= covered
        yield from sorted(seen)


def find_schemas() -> Path:
    """Find the rules: beside the package's modules in a wheel, beside the package in its source.

    Raises:
        SandboxError: They are in neither place.
    """
    package = Path(__file__).resolve().parents[1]
    for directory in (package / "schemas", package.parent / "schemas"):
        if (directory / "event.json").is_file():
            return directory
    raise SandboxError(f"no schemas/event.json beside or in {package}", hint="install again")


def _read(path: Path) -> Document:
    document = json.loads(path.read_bytes())
    document.pop("$id", None)  # every document is known by a name of ours
    return cast("Document", document)


def _keep_errors(document: Document, *, identity: str, identity_keys: Iterable[str]) -> None:
    """Leave the rules that refuse an event, read with the identities that count."""
    rules = [entry for entry in document.pop("allOf", ()) if entry["x-severity"] == "error"]
    if identity == "page":
        rules = [entry for entry in rules if entry["x-code"] != "identity_missing"]
    for entry in rules:
        model = entry.get("x-identity-key")
        for key in identity_keys if model else ():
            _count(entry, key, like=model)
    if rules:  # an empty allOf is no JSON Schema
        document["allOf"] = rules
    if document.get("x-severity", "error") != "error":
        document["properties"] = {}


def _count(entry: Document, key: str, *, like: str) -> None:
    """Say of `key` in this rule whatever it says of the identity `like`."""
    properties = entry.get("properties", {})
    if like in properties:
        properties.setdefault(key, deepcopy(properties[like]))
    branches = entry.get("anyOf", [])
    branches += [
        {"required": [key], "properties": {key: deepcopy(branch["properties"][like])}}
        for branch in branches
        if branch.get("required") == [like]
    ]


def _without_rules(document: Document) -> Document:
    return {name: said for name, said in document.items() if name != "allOf"}


def _applied(uri: str, document: Document) -> Document:
    """Refer to a document where it applies: to all events, or to those of one name."""
    if "x-event" not in document:
        return {"$ref": uri}
    named = {"required": ["event"], "properties": {"event": {"const": document["x-event"]}}}
    return {"if": named, "then": {"$ref": uri}}


def _field(entry: Document) -> str:
    """Name the field that a refusal by this rule is filed under."""
    if entry["x-code"] in SAID_BY_THE_PAGE:
        return SAID_BY_THE_PAGE[entry["x-code"]][0]
    return next(iter(entry.get("properties", {})), "event")


def _covered(document: Document) -> frozenset[str]:
    """Name the properties whose type is a rule's business already."""
    properties = document.get("properties", {})
    return frozenset(name for name, said in properties.items() if "x-covered-by" in said)
