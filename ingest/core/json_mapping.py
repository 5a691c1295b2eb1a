"""What is changed in each JSON line before it is sent: nothing but what a flag names.

A path is a name of the object itself, or names with dots between that lead into it: `user.id` is
the member `id` of the object `user`. A name that has the dots itself goes before: where an object
has a member `user.id`, that is meant.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from collections.abc import Mapping as ReadMapping
from dataclasses import asdict, dataclass
from typing import Any

from ingest.core.mapping import TIMESTAMP, Field, Kind, Mapping, TimePlan, key_words

_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Change:
    """One member of the events that is not sent as it stands.

    Args:
        name: The name under which it is sent; for a member inside another its path.
        source: The path at which it stands; None for a constant.
        kind: How its text becomes a value; None: the value goes as it is.
        separator: Between items; kind `list` only.
        constant: The same text for every record.
    """

    name: str
    source: str | None = None
    kind: Kind | None = None
    separator: str | None = None
    constant: str | None = None

    def __post_init__(self) -> None:
        if (self.source is None) == (self.constant is None):
            raise ValueError(f"member {self.name!r} has no clear origin")
        if self.kind is None and self.name == self.source:
            raise ValueError(f"nothing changes in member {self.name!r}")

    @property
    def moved(self) -> bool:
        """Whether it leaves its place."""
        return self.source is not None and self.source != self.name

    @property
    def field(self) -> Field | None:
        """The same for a table of texts with a column of its name; None where nothing converts."""
        if self.constant is not None:
            kind = self.kind or Kind.TEXT
            return Field(self.name, kind=kind, constant=self.constant, separator=self.separator)
        if self.kind is None:
            return None
        return Field(self.name, self.name, self.kind, separator=self.separator)


@dataclass(frozen=True, slots=True)
class JsonMapping:
    """What is changed in each record of a source of JSON lines.

    Args:
        changes: Members that are moved, converted or set; names are unique.
        only: Paths that stay, besides those of `changes`; None: all.
        drop: Paths that are taken out.
        flatten: Objects whose members are lifted to their own place, before all else.
        nulls: Texts that are taken out where they are a whole value.
        time: Format of the time that `--timestamp` names; its change is named `timestamp`.
        timezone: IANA name for times without an offset.
        key: Paths that event_uuids are made from; without any, the place of the record.
        seen: The names found in the first records, for words only.
        unseen: Names in flags that the first records do not have, for words only.
    """

    changes: tuple[Change, ...] = ()
    only: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    flatten: tuple[str, ...] = ()
    nulls: tuple[str, ...] = ()
    time: TimePlan | None = None
    timezone: str = "UTC"
    key: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [change.name for change in self.changes]
        if len(set(names)) != len(names):
            raise ValueError("two changes share a name")

    @property
    def plain(self) -> bool:
        """Whether every line is sent as it stands."""
        return not (self.changes or self.only is not None or self.drop or self.nulls) and (
            not self.flatten
        )

    @property
    def conversions(self) -> Mapping:
        """The same for an encoder of tables: a column for each change that converts."""
        fields = [change.field for change in self.changes]
        return Mapping(
            fields=tuple(field for field in fields if field is not None),
            nulls=self.nulls,
            time=None if self.time is None else TimePlan(TIMESTAMP, self.time.format),
            timezone=self.timezone,
        )

    def as_json(self) -> dict[str, object]:
        """Everything that changes what is sent, as plain JSON values that compare by `==`."""
        content = asdict(self) | {"nulls": sorted(set(self.nulls)), "drop": sorted(set(self.drop))}
        if self.only is not None:
            content["only"] = sorted(set(self.only))
        del content["seen"], content["unseen"]
        if not self.key:
            del content["key"]  # as it was before there were keys
        plain: dict[str, object] = json.loads(json.dumps(content))
        return plain

    @classmethod
    def from_json(cls, content: ReadMapping[str, Any]) -> "JsonMapping":
        """Give the mapping that `as_json` gave; what is for words only is not kept.

        Raises:
            ValueError: It is of another form.
        """
        try:
            only, time = content["only"], content["time"]
            return cls(
                changes=tuple(map(_change_of, content["changes"])),
                only=None if only is None else tuple(only),
                drop=tuple(content["drop"]),
                flatten=tuple(content["flatten"]),
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
        """The paths behind a field; none for a constant or for no name."""
        for change in self.changes:
            if change.name == field:
                return () if change.source is None else (change.source,)
        return (field,) if field else ()

    def describe(self, known_fields: Collection[str]) -> str:
        """The plan line's part on content.

        Args:
            known_fields: Names that the API documents; the others are attributes.
        """
        names = self._names()
        attributes = [name for name in names if name not in known_fields]
        known = len(names) - len(attributes)
        head = f"sends JSON lines {'as they are' if self.plain else 'with changes'}: "
        head += f"{known} {_plural('field', known)}, {len(attributes)} "
        head += f"{_plural('attribute', len(attributes))}{_some(attributes)} in the first records"
        words = [head, *self._details(), self._time_words(names), *key_words(self.key)]
        return "; ".join(words)

    def _names(self) -> list[str]:
        moved = {change.source for change in self.changes if change.moved}
        stays = [
            name
            for name in self.seen
            if name not in moved and name not in self.drop and self._stays(name)
        ]
        return list(dict.fromkeys([*stays, *(c.name for c in self.changes if c.name != c.source)]))

    def _stays(self, name: str) -> bool:
        return self.only is None or any(
            path == name or path.startswith(f"{name}.") for path in self.only
        )

    def _details(self) -> list[str]:
        moved = [
            f"{change.name} from {change.source}"
            for change in self.changes
            if change.moved and change.name != TIMESTAMP
        ]
        constants = [f"{c.name}={c.constant}" for c in self.changes if c.constant is not None]
        lists = (
            ("lifts the members of ", list(self.flatten)),
            ("", moved),
            ("set ", constants),
            ("left out ", list(self.drop)),
            ("not seen yet: ", list(self.unseen)),
        )
        return [f"{word}{', '.join(names)}" for word, names in lists if names]

    def _time_words(self, names: Collection[str]) -> str:
        if self.time is not None:
            zone = "" if self.timezone == "UTC" else f" ({self.timezone})"
            return f"time: {self.time.source}{zone}"
        if TIMESTAMP in names:
            return f"time: {', '.join(self.columns_of(TIMESTAMP)) or 'the constant'}"
        return "time: none, filed under the moment of receipt"


def _change_of(content: ReadMapping[str, Any]) -> Change:
    kind = content["kind"]
    return Change(**{**content, "kind": None if kind is None else Kind(kind)})


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _some(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f" [{', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}]"
