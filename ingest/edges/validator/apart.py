"""Judges single events by the rules that look at members of any name.

Events of JSON lines may have more names than a table can have columns. Rules that speak of names
one by one are asked about such members alone; rules over the event as a whole are asked about all
of it, for a table would show it without them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import jsonschema_rs

from ingest.core.model import Json
from ingest.core.rules import NOTES, Rule
from ingest.edges.validator.compiler import BY_NAME
from ingest.edges.validator.documents import native


@dataclass(frozen=True, slots=True)
class _Judge:
    code: str
    event: str | None
    judge: jsonschema_rs.Draft202012Validator

    def minds(self, members: Mapping[str, object], event: object) -> bool:
        """Whether it applies to events of this name and is broken."""
        return (self.event is None or self.event == event) and not self.judge.is_valid(members)


class Apart:
    """Rules over names that nobody foresaw.

    Args:
        rules: As `rules_of` gives them.

    Raises:
        UsageError: A rule cannot be used.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        wide = [rule for rule in rules if rule.reads_all and not rule.check]
        self._by_name = [_judge(rule) for rule in wide if _speaks_of_names(rule)]
        self._whole = [_judge(rule) for rule in wide if not _speaks_of_names(rule)]
        self.for_tables: tuple[Rule, ...] = tuple(
            rule for rule in rules if rule not in wide or _speaks_of_names(rule)
        )
        """The rules that a table with columns for all names would be judged by as well."""

    @property
    def asks_whole(self) -> bool:
        """Whether a rule must see every event as a whole."""
        return bool(self._whole)

    def of_members(self, event: Mapping[str, object], names: Collection[str]) -> list[str]:
        """The codes that some members of an event break, by themselves."""
        members = {name: event[name] for name in event if name in names}
        if not members:
            return []
        return [one.code for one in self._by_name if one.minds(members, event.get("event"))]

    def of_event(self, event: Mapping[str, object]) -> list[str]:
        """The codes that an event breaks as a whole."""
        return [one.code for one in self._whole if one.minds(event, event.get("event"))]

    def culprits(self, code: str, event: Mapping[str, object]) -> tuple[str, ...]:
        """The members that break a rule by themselves."""
        judges = [one for one in self._by_name if one.code == code]
        name = event.get("event")
        return tuple(
            key for key, value in event.items() if any(j.minds({key: value}, name) for j in judges)
        )


def _asked(rule: Rule) -> dict[str, object]:
    skipped = NOTES | {"$defs"}
    return {k: v for k, v in rule.schema.items() if k not in skipped and not k.startswith("x-")}


def _speaks_of_names(rule: Rule) -> bool:
    """Whether the rule is met by an event when it is by each of its members alone."""
    asked = _asked(rule)
    return asked.keys() - BY_NAME <= {"type"} and asked.get("type", "object") == "object"


def _judge(rule: Rule) -> _Judge:
    schema: Json = {**_asked(rule), "$defs": cast("Json", rule.schema.get("$defs", {}))}
    return _Judge(rule.code, rule.event, native(schema, rule.code))
