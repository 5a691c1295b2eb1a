"""Random events, judged three times: compiled rules, jsonschema-rs, and a plain reading in Python.

Run it for longer: `python -m tests.support.fuzz_rules --seconds 600 --seed 7`. It prints the seed of
the events that differ; `--seed S --cases 1` judges those again.
"""

import random
import string
import sys
import unicodedata
from datetime import timedelta

from ingest.core.rules import rules_of
from tests.support.fuzzing import fuzz
from tests.support.judging import (
    DOCUMENTS,
    NOW,
    NativeJudge,
    codes_of,
    verdict_of,
    verdict_of_json,
)
from tests.support.plain_rules import IDENTITIES, PLACEHOLDERS, violations

CLOCK = {"timestamp_in_future", "timestamp_old", "device_token_conflict"}
"""Codes that no schema can express."""

_EVENTS = 40
_EVERY = [
    chr(c)
    for c in range(sys.maxunicode + 1)
    if unicodedata.category(chr(c)) not in {"Cs", "Cn", "Co"}
]
_WHITESPACE = [c for c in _EVERY if c.isspace()]
_DIGITS = [c for c in _EVERY if unicodedata.category(c) == "Nd"]
_FORMATS = [c for c in _EVERY if unicodedata.category(c) in {"Cf", "Cc"}]
_MARKS = list(".eE+-_@:%\\/T Z,'\"")
_KNOWN_NAMES = [
    "add_to_cart", "purchase", "identify", "checkout", "search", "view", "return", "cancel",
    "subscribe", "subscription_billing", "pageload", "app_open",
]  # fmt: skip
_FIELDS = [
    *IDENTITIES, "timestamp", "ip", "event_uuid", "latitude", "longitude", "device_token",
    "device_tokens", "device_type", "device_idfa", "os_name", "revenue", "discount", "quantity",
    "shipping_cost", "product_id", "products", "sku", "number_of_results", "page_number",
    "subscription_groups", "transaction_uuid", "network_carrier", "skus", "filters", "coupon",
    "category_id", "order_id", "subscription_amount", "subscription_status", "query", "joined_at",
    "site", "_bsft_ts", "browser_name", "user_uuid", "session_uuid", "colour",
]  # fmt: skip
_BOUNDS = [9, 10, 35, 36, 37, 63, 64, 65, 99, 100, 101, 127, 128, 129, 255, 256, 257]


class _Maker:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def events(self) -> list[dict[str, object]]:
        json = self.rng.random() < 0.5
        return [self._event(json=json) for _ in range(self.rng.randint(1, _EVENTS))]

    def _event(self, *, json: bool) -> dict[str, object]:
        rng, event = self.rng, {}
        if rng.random() < 0.97:
            event["event"] = self._json() if json and rng.random() < 0.2 else self._name()
        for name in rng.sample(_FIELDS, rng.randint(0, 8)):
            event[name] = self._json() if json and rng.random() < 0.5 else self._text(name)
        if rng.random() < 0.3:
            event[self._noise(6) or "x"] = self._text("colour")
        return event

    def _name(self) -> str:
        rng = self.rng
        match rng.randrange(5):
            case 0 | 1:
                return rng.choice(_KNOWN_NAMES)
            case 2:
                return self._number()
            case 3:
                return self._long([64])
            case _:
                return self._noise(12)

    def _text(self, name: str) -> str:
        rng = self.rng
        if rng.random() < 0.25:
            return rng.choice(["", *PLACEHOLDERS, "TRUE", "False", "true", *_WHITESPACE])
        if rng.random() < 0.2:
            return self._noise(10)
        made = {
            "timestamp": self._time, "ip": self._address, "event_uuid": self._uuid,
            "transaction_uuid": self._uuid, "latitude": self._number, "longitude": self._number,
            "email": self._email,
        }.get(name)  # fmt: skip
        if made is not None:
            return self._bent(made())
        return rng.choice([self._number, lambda: self._long(_BOUNDS), lambda: self._noise(20)])()

    def _bent(self, text: str) -> str:
        """Mostly as it is; else with one character more, less or changed."""
        rng = self.rng
        if rng.random() < 0.6 or not text:
            return text
        at = rng.randrange(len(text))
        return text[:at] + rng.choice(["", self._char(), text[at] * 2]) + text[at + 1 :]

    def _char(self) -> str:
        pool = self.rng.choice(
            [_MARKS, _WHITESPACE, _DIGITS, _FORMATS, string.ascii_letters, string.digits, _EVERY]
        )
        return self.rng.choice(pool)

    def _noise(self, most: int) -> str:
        return "".join(self._char() for _ in range(self.rng.randint(0, most)))

    def _long(self, bounds: list[int]) -> str:
        char = self.rng.choice(["x", "é", "👍", "e\u0301", self._char()])
        size = self.rng.choice(bounds) + self.rng.choice([-1, 0, 0, 1])
        return (char * size)[:size]

    def _number(self) -> str:
        rng = self.rng
        digits = rng.choice([string.digits, string.digits, _DIGITS])
        whole, part, power = ("".join(rng.choices(digits, k=rng.randint(0, 3))) for _ in range(3))
        sign, mark = rng.choice(["", "", "-", "+"]), rng.choice(["", "", ".", ".", ","])
        return sign + whole + mark + part + (rng.choice("eE") + power if rng.random() < 0.3 else "")

    def _time(self) -> str:
        rng = self.rng
        days = rng.choice([0, -31, -180, -3650, rng.randint(-99999, 99999)])
        at = NOW + timedelta(
            days=days, seconds=rng.choice([-301, 0, 300, rng.randint(-86400, 86400)])
        )
        day = at.strftime(rng.choice(["%Y-%m-%d", "%Y%m%d"]))
        clock = at.strftime(rng.choice(["T%H:%M:%S", "T%H%M%S", "T%H:%M", " %H:%M:%S", ""]))
        part = rng.choice(["", "", ".5", ",123456", ".1234567"]) if clock else ""
        zone = rng.choice(["Z", "Z", "", "+05:30", "-0800", "+05", "+24:00", "z"]) if clock else ""
        return day.zfill(8) + clock + part + zone

    def _address(self) -> str:
        rng = self.rng
        if rng.random() < 0.5:
            return ".".join(
                str(rng.choice([0, 1, 9, 255, 256, 300]))
                for _ in range(rng.choice([3, 4, 4, 4, 5]))
            )
        groups = [
            f"{rng.randrange(1 << rng.choice([4, 16, 20])):x}" for _ in range(rng.randint(0, 8))
        ]
        at = rng.randint(0, len(groups))
        return ":".join(groups[:at]) + rng.choice(["::", ":", "::"]) + ":".join(groups[at:])

    def _uuid(self) -> str:
        text = f"{self.rng.getrandbits(128):032x}"
        text = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
        return self.rng.choice([text, text.upper(), text.replace("-", ""), "{" + text + "}"])

    def _email(self) -> str:
        parts = [self._noise(3) if self.rng.random() < 0.1 else "ab" for _ in range(3)]
        return f"{parts[0]}@{parts[1]}.{parts[2]}"

    def _json(self) -> object:
        rng = self.rng
        group = {
            key: rng.choice(["a", "", 1, True, False, "true", None])
            for key in ("id", "subscribed")
            if rng.random() < 0.9
        }
        return rng.choice(
            [None, True, False, 0, 1, -5, 2**53, 2**70, 1.5, -0.25, [], {}, ["a"], [group],
             [{"id": "a", "subscribed": True}], group, [[]], {"a": {"b": 1}}]
        )  # fmt: skip


def finding(seed: int) -> str:
    """What the three readings say differently of the events of a seed, or nothing."""
    events = _Maker(seed).events()
    plain = [violations(event, now=NOW) for event in events]
    texts = all(isinstance(value, str) for event in events for value in event.values())
    verdict = verdict_of(events) if texts else verdict_of_json(events)  # type: ignore[arg-type]
    for row, event in enumerate(events):
        compiled, native = codes_of(verdict, row), _NATIVE.codes(event)
        if compiled != plain[row]:
            return f"{event!r}\ncompiled: {sorted(compiled)}\nby hand:  {sorted(plain[row])}"
        if native != plain[row] - CLOCK:
            return f"{event!r}\njsonschema-rs: {sorted(native)}\nby hand: {sorted(plain[row])}"
    return ""


_NATIVE = NativeJudge(rules_of(DOCUMENTS))

if __name__ == "__main__":
    sys.exit(fuzz(finding, doc=__doc__))
