"""Says what a schema of the user minds in a record, where the schema has no words of its own."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import jsonschema_rs

from ingest.core.rules import BASE_CODE, Rule
from ingest.edges.validator.documents import native

_MOST: Final = 3
_MOST_TEXT: Final = 200


class Explainer:
    """Asks jsonschema-rs for the reasons of rejects that are already known.

    A message never has a value of the record in it: reports show that beside, or mask it.

    Args:
        rules: As `rules_of` gives them.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = [
            (rule.event, native(rule.schema, rule.code, mask="the value"))
            for rule in rules
            if rule.code == BASE_CODE and not rule.check
        ]

    def explain(self, event: Mapping[str, object]) -> tuple[tuple[str, ...], str]:
        """Give the members that are at fault, and what is asked of each.

        Args:
            event: By name, as it would be sent.
        """
        name = event.get("event")
        found = [
            each
            for of, judge in self._rules
            if of is None or of == name
            for each in _errors(judge, event)
        ]
        texts = list(dict.fromkeys(text for _, text in found))
        more = f"; and {len(texts) - _MOST:,} more" if len(texts) > _MOST else ""
        members = tuple(dict.fromkeys(member for member, _ in found if member))
        return members, "; ".join(texts[:_MOST]) + more


def _errors(
    judge: jsonschema_rs.Draft202012Validator, event: Mapping[str, object]
) -> Iterator[tuple[str, str]]:
    for error in judge.iter_errors(dict(event)):
        path = [str(part) for part in error.instance_path]
        text = error.message[:_MOST_TEXT]
        if path:
            yield path[0], f"{'.'.join(path)}: {text}"
        else:
            yield getattr(error.kind, "property", ""), text
