"""What is sent of each record: fields, and where each one's value comes from."""

import hashlib
import json
from collections.abc import Collection, Sequence
from collections.abc import Mapping as JsonMapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal

EVENT = "event"
TIMESTAMP = "timestamp"
EVENT_UUID = "event_uuid"

_SHOWN_ATTRIBUTES = 6


class Kind(StrEnum):
    """How the text of a cell becomes a JSON value."""

    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"
    DATE = "date"
    LIST = "list"
    SUBSCRIPTION = "subscription"


JsonType = Literal["text", "number", "integer", "boolean", "json"]

_JSON_TYPES: dict[Kind, JsonType] = {
    Kind.TEXT: "text",
    Kind.DATE: "text",
    Kind.NUMBER: "number",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.JSON: "json",
    Kind.LIST: "json",
    Kind.SUBSCRIPTION: "json",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One member of the events, and where its value comes from: exactly one of three.

    Args:
        name: The key that is sent.
        source: The column.
        constant: The same text for every record.
        parts: The members of one object in a list of one (kind `subscription` only).
        kind: How the text becomes a value.
        separator: Between the items of a cell; kind `list` only.
    """

    name: str
    source: str | None = None
    kind: Kind = Kind.TEXT
    constant: str | None = None
    separator: str | None = None
    parts: tuple["Field", ...] = ()

    def __post_init__(self) -> None:
        origins = (self.source is not None) + (self.constant is not None) + bool(self.parts)
        if origins != 1 or bool(self.parts) != (self.kind is Kind.SUBSCRIPTION):
            raise ValueError(f"field {self.name!r} has no clear origin")
        if bool(self.separator) != (self.kind is Kind.LIST):
            raise ValueError(f"field {self.name!r}: a separator belongs to a list")

    @property
    def json_type(self) -> JsonType:
        """What stands in the JSON: `json` where the cell decides itself."""
        return _JSON_TYPES[self.kind]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it is made of; none for a constant."""
        own = () if self.source is None else (self.source,)
        return own + tuple(column for part in self.parts for column in part.columns)


@dataclass(frozen=True, slots=True)
class TimePlan:
    """Which column is the time of the event, and how it is written.

    Args:
        source: The column; its field is `timestamp`.
        format: A strftime format, `epoch_s`, `epoch_ms`, or None for ISO 8601.
    """

    source: str
    format: str | None = None


@dataclass(frozen=True, slots=True)
class Mapping:
    """What is sent of each record of a source.

    Args:
        fields: In the order of the keys; names are unique.
        nulls: Cells that are exactly one of these are absent; empty cells always are.
        time: Given by `--timestamp`; None where a field `timestamp` is sent as it is, or none is.
        timezone: IANA name for times without an offset, of `time` and of kind `date`.
        left_out: Columns that are not sent, for the plan line.
        key: Columns that event_uuids are made from; without any, the place of the record.
    """

    fields: tuple[Field, ...]
    nulls: tuple[str, ...] = ()
    time: TimePlan | None = None
    timezone: str = "UTC"
    left_out: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        if len(set(names)) != len(names):
            raise ValueError("two fields share a name")
        if (
            self.time is not None
            and Field(TIMESTAMP, self.time.source, Kind.DATE) not in self.fields
        ):
            raise ValueError("the time plan needs its field, a date named 'timestamp'")

    def as_json(self) -> dict[str, object]:
        """Everything that changes what is sent, as plain JSON values that compare by `==`."""
        content = asdict(self) | {"nulls": sorted(set(self.nulls))}
        del content["left_out"]
        if not self.key:
            del content["key"]  # as it was before there were keys
        plain: dict[str, object] = json.loads(json.dumps(content))
        return plain

    @classmethod
    def from_json(cls, content: JsonMapping[str, Any]) -> "Mapping":
        """Give the mapping that `as_json` gave; `left_out` is not kept.

        Raises:
            ValueError: It is of another form.
        """
        try:
            time = content["time"]
            return cls(
                fields=tuple(map(_field_of, content["fields"])),
                nulls=tuple(content["nulls"]),
                time=None if time is None else TimePlan(**time),
                timezone=content["timezone"],
                key=tuple(content.get("key", ())),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a mapping: {error}") from error

    def digest(self) -> str:
        """Hexadecimal SHA-256 of `as_json` as one canonical text."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def columns_of(self, field: str) -> tuple[str, ...]:
        """The columns behind a field; none for a constant or a name that is not sent."""
        return next((each.columns for each in self.fields if each.name == field), ())

    def describe(self, known_fields: Collection[str]) -> str:
        """The plan line's part on content, such as `sends 80 columns: 6 fields, 74 attributes`.

        Args:
            known_fields: Names that the API documents; the others are attributes.
        """
        attributes = [field.name for field in self.fields if field.name not in known_fields]
        count = len({column for field in self.fields for column in field.columns})
        known = len(self.fields) - len(attributes)
        head = f"sends {_count(count, 'column')}: {_count(known, 'field')}"
        head += f", {_count(len(attributes), 'attribute')}{_some(attributes)}"
        return "; ".join([head, *self._details(), self._time_words(), *key_words(self.key)])

    def _details(self) -> list[str]:
        moved = [
            f"{field.name} from {field.source}"
            for field in self.fields
            if field.source not in {None, field.name} and field.name != TIMESTAMP
        ]
        constants = [
            f"{field.name}={field.constant}" for field in self.fields if field.constant is not None
        ]
        lists = (("", moved), ("set ", constants), ("left out ", list(self.left_out)))
        return [f"{word}{', '.join(names)}" for word, names in lists if names]

    def _time_words(self) -> str:
        if self.time is not None:
            zone = "" if self.timezone == "UTC" else f" ({self.timezone})"
            return f"time: {self.time.source}{zone}"
        if any(field.name == TIMESTAMP for field in self.fields):
            return "time: " + (", ".join(self.columns_of(TIMESTAMP)) or "the constant")
        return "time: none, filed under the moment of receipt"


def key_words(key: Sequence[str]) -> list[str]:
    """What the plan line says of the columns of event_uuids; nothing where there are none."""
    return [f"event_uuid from {', '.join(key)}"] if key else []


def _field_of(content: JsonMapping[str, Any]) -> Field:
    parts = tuple(map(_field_of, content["parts"]))
    return Field(**{**content, "kind": Kind(content["kind"]), "parts": parts})


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > _SHOWN_ATTRIBUTES else ""
    return f" [{', '.join(names[:_SHOWN_ATTRIBUTES])}{more}]"
