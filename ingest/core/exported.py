"""Error records that Blueshift exports: events that it accepted with 200 and could not process.

Their form (contract: P9) is one flat object an event: its fields, what the server added, the
`event_uuid`, and `error_message`. The `event_uuid` is what a record is found again by.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UNSAID = "no error_message"


def key_of(event_uuid: str) -> str:
    """Give what two spellings of one id have in common: hexadecimal digits have no case."""
    return event_uuid.lower() if _UUID.fullmatch(event_uuid) else event_uuid


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of an event that failed later.

    Args:
        message: The server's words.
        event: Its name.
        file: The error file that named it first.
        times: How many error records name it.
    """

    message: str
    event: str
    file: str
    times: int = 1


class Failures:
    """Error records by event_uuid. Memory grows with the events that they name."""

    def __init__(self) -> None:
        self._known: dict[str, Failure] = {}
        self._texts: dict[str, str] = {}
        self.records = 0
        self.nameless = 0

    def add(self, value: Mapping[str, object], *, file: str) -> None:
        """Take in one error record."""
        self.records += 1
        uuid = value.get("event_uuid")
        if not isinstance(uuid, str) or not uuid.strip():
            self.nameless += 1
            return
        key = key_of(uuid)
        before = self._known.get(key)
        if before is not None:
            self._known[key] = Failure(before.message, before.event, before.file, before.times + 1)
            return
        message, event = value.get("error_message"), value.get("event")
        self._known[key] = Failure(
            self._kept(message if isinstance(message, str) and message else _UNSAID),
            self._kept(event if isinstance(event, str) else ""),
            file,
        )

    def of(self, event_uuid: str) -> Failure | None:
        """Give what is known of an event; None where no error record names it."""
        return self._known.get(key_of(event_uuid))

    @property
    def events(self) -> int:
        """Distinct events with an id."""
        return len(self._known)

    def _kept(self, text: str) -> str:
        """One text for all that are equal: there are few messages and many records."""
        return self._texts.setdefault(text, text)


def causes(found: Counter[str], *, most: int) -> dict[str, int]:
    """Give the most frequent messages with their counts; what is beyond `most` under `(others)`."""
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in ranked[most:])
    return dict(ranked[:most]) | ({"(others)": rest} if rest else {})
