"""The rules of the event API read a third time, from the API's description and in plain Python.

Nothing here looks at `schemas/`: where a schema and this file disagree, one of them has the
description wrong. It judges one event at a time, as a dict of JSON values, and is slow.
"""

import ipaddress
import json
import unicodedata
from datetime import UTC, date, datetime, timedelta

IDENTITIES = ("customer_id", "email", "device_id", "cookie", "group_id")
PLACEHOLDERS = {"NULL", "null", "\\N", "NaN", "nan", "None", "undefined"}
SERVER_NAMES = {"account_uuid", "session_uuid", "site", "timestamp_epoch", "user_uuid"}
TEXT_FIELDS = [
    "device_type",
    "device_token",
    "device_tokens",
    "device_idfa",
    "device_idfv",
    "device_manufacturer",
    "os_name",
    "network_carrier",
    "ip",
    "latitude",
    "longitude",
    "event_uuid",
    "timestamp",
    "transaction_uuid",
]
DEVICE_FACTS = [
    "device_id",
    "device_token",
    "device_tokens",
    "device_type",
    "device_idfa",
    "device_idfv",
    "device_manufacturer",
    "os_name",
    "network_carrier",
]
AMOUNTS = {
    "add_to_cart": ("quantity",),
    "checkout": ("revenue", "discount"),
    "purchase": ("revenue", "shipping_cost", "discount"),
    "search": ("number_of_results", "page_number"),
}
PLANS = (
    "subscription_upgrade",
    "subscription_downgrade",
    "subscription_billing",
    "subscription_cancel",
)
AMOUNTS |= dict.fromkeys(PLANS, ("subscription_period_length", "subscription_amount"))
ONE_VALUE = {
    "add_to_cart": ("sku", "product_id"),
    "view": ("sku", "product_id", "category_id"),
    "checkout": ("coupon",),
    "purchase": ("order_id", "product_id", "coupon"),
    "cancel": ("order_id",),
    "return": ("order_id",),
    "search": ("query",),
    "identify": ("firstname", "lastname", "gender", "joined_at", "phone_number"),
    "pageload": ("screen_viewed", "url", "referrer", "user_agent"),
} | dict.fromkeys(("app_install", "app_open", "app_update"), ("app_name", "app_version"))
ONE_VALUE |= dict.fromkeys(
    PLANS,
    (
        "subscription_period_type",
        "subscription_plan_type",
        "subscription_start_date",
        "subscription_status",
    ),
)
SEVERAL = {
    "checkout": ("products",),
    "purchase": ("products",),
    "return": ("products",),
    "search": ("skus", "filters"),
}
LONGEST = {"customer_id": 128, "email": 256, "device_id": 100, "cookie": 36}
DAYS_KEPT = {"purchase": 3650, "cancel": 3650, "return": 3650} | dict.fromkeys(
    ("view", "add_to_cart", "remove_from_cart", "checkout", "search"), 180
)
UNSEEN = set("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


def violations(event: dict[str, object], *, now: datetime | None = None) -> set[str]:
    """The codes of all rules that one event breaks; those that need a clock only with `now`."""
    return (
        _name(event) | _identity(event) | _fields(event) | _event_rules(event) | _time(event, now)
    )


def blank(event: dict[str, object], name: str) -> bool:
    """Whether a field is absent, null, or text of nothing but whitespace."""
    value = event.get(name)
    return value is None or (isinstance(value, str) and all(c.isspace() for c in value))


def is_number(text: str, *, any_script: bool) -> bool:
    """Whether the whole text reads as a number: sign, digits, one period, exponent."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    for mark in "eE":
        if mark in rest:
            rest, _, exponent = rest.partition(mark)
            exponent = exponent[1:] if exponent[:1] in ("+", "-") else exponent
            if not _digits(exponent, any_script=any_script):
                return False
            break
    whole, period, part = rest.partition(".")
    if not period:
        return _digits(whole, any_script=any_script)
    sides = [side for side in (whole, part) if side]
    return bool(sides) and all(_digits(side, any_script=any_script) for side in sides)


def _digits(text: str, *, any_script: bool) -> bool:
    if any_script:
        return bool(text) and all(unicodedata.category(c) == "Nd" for c in text)
    return bool(text) and set(text) <= set("0123456789")


def _name(event: dict[str, object]) -> set[str]:
    if blank(event, "event"):
        return {"event_missing"}
    name = event["event"]
    if not isinstance(name, str):
        number = isinstance(name, int | float) and not isinstance(name, bool)
        return {"event_not_string"} | ({"event_numeric"} if number else set())
    found = {
        "event_too_long": len(name) > 64,
        "event_has_period": "." in name,
        "event_has_whitespace": any(c.isspace() for c in name),
        "event_numeric": is_number(name, any_script=True),
        "name_reserved": name.startswith(("bsft_", "_bsft_")),
        "event_invisible_character": any(_unseen(c) for c in name),
    }
    return {code for code, yes in found.items() if yes}


def _unseen(char: str) -> bool:
    category = unicodedata.category(char)
    return category == "Cf" or char in UNSEEN or (category == "Cc" and not char.isspace())


def _identity(event: dict[str, object]) -> set[str]:
    said = [name for name in IDENTITIES if not blank(event, name)]
    found = set() if said else {"identity_missing"}
    if said == ["group_id"]:
        found.add("identity_only_group")
    for name in said:
        value = event[name]
        if isinstance(value, bool) or not isinstance(value, str | int):
            found.add("identity_not_string")
        if not isinstance(value, str):
            continue
        if value in PLACEHOLDERS:
            found.add("identity_placeholder")
        if len(value) > LONGEST.get(name, len(value)):
            found.add("identity_too_long")
        if name == "device_id" and len(value) < 10:
            found.add("identity_too_short")
        if value[0].isspace() or value[-1].isspace():
            found.add("identity_outer_whitespace")
    return found


def _fields(event: dict[str, object]) -> set[str]:
    found: set[str] = set()
    checks = {
        "email": ("email_unusual", _is_address),
        "ip": ("ip_invalid", _is_ip),
        "event_uuid": ("event_uuid_not_rfc4122", _is_uuid),
        "latitude": ("latitude_not_number", _is_plain_number),
        "longitude": ("longitude_not_number", _is_plain_number),
        "timestamp": ("timestamp_not_iso", lambda text: iso_time(text) is not None),
    }
    numbers = {"latitude", "longitude"}
    for name, (code, good) in checks.items():
        value = event.get(name)
        if blank(event, name) or isinstance(value, list | dict):
            continue
        if isinstance(value, str):
            found |= set() if good(value) else {code}
        elif name != "email" and not (name in numbers and not isinstance(value, bool)):
            found.add(code)
    if blank(event, "timestamp"):
        found.add("timestamp_missing")
    for name in TEXT_FIELDS:
        if isinstance(event.get(name), list | dict):
            found.add("value_type_wrong")
    return found | _groups(event) | _attributes(event) | _tokens(event)


def _groups(event: dict[str, object]) -> set[str]:
    groups = event.get("subscription_groups")
    if blank(event, "subscription_groups"):
        return set()
    if isinstance(groups, bool | int | float):
        return {"value_type_wrong"}
    good = isinstance(groups, list) and all(
        isinstance(g, dict)
        and isinstance(g.get("id"), str)
        and g["id"] != ""
        and isinstance(g.get("subscribed"), bool)
        for g in groups
    )
    return set() if good else {"subscription_groups_invalid"}


def _attributes(event: dict[str, object]) -> set[str]:
    found: set[str] = set()
    for name, value in event.items():
        if not blank(event, name):
            if name in SERVER_NAMES or name.startswith(("_bsft_", "browser_")):
                found.add("attribute_reserved")
            odd = (unicodedata.category(c) in ("Cc", "Cf") for c in name)
            if "." in name or any(c.isspace() for c in name) or any(odd):
                found.add("attribute_unusual_name")
        if name not in ("event", *IDENTITIES) and value in ("TRUE", "True", "FALSE", "False"):
            found.add("boolean_not_lowercase")
    return found


def _tokens(event: dict[str, object]) -> set[str]:
    one, other = event.get("device_token"), event.get("device_tokens")
    both = not blank(event, "device_token") and not blank(event, "device_tokens")
    return {"device_token_conflict"} if both and _text(one) != _text(other) else set()


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _event_rules(event: dict[str, object]) -> set[str]:
    name = event.get("event")
    found: set[str] = set()
    if name == "identify" and any(not blank(event, fact) for fact in DEVICE_FACTS):
        token = not blank(event, "device_token") or not blank(event, "device_tokens")
        if blank(event, "device_id") or not token:
            found.add("identify_device_incomplete")
    if name == "purchase":
        if blank(event, "revenue"):
            found.add("purchase_without_revenue")
        if all(blank(event, n) for n in ("products", "product_id", "product_ids", "sku", "skus")):
            found.add("purchase_without_products")
    if isinstance(name, str):
        found |= _kinds(event, name)
    for amount in AMOUNTS.get(name, ()) if isinstance(name, str) else ():
        value = event.get(amount)
        if isinstance(value, bool | list | dict):
            found.add("value_type_wrong")
        if isinstance(value, bool) or (
            isinstance(value, str) and not blank(event, amount) and not _is_plain_number(value)
        ):
            found.add("number_not_plain")
    return found


def _kinds(event: dict[str, object], name: str) -> set[str]:
    """JSON values of a kind that a field of this event does not take."""
    one = [event.get(field) for field in ONE_VALUE.get(name, ())]
    several = [event.get(field) for field in SEVERAL.get(name, ())]
    wrong = any(isinstance(value, list | dict) for value in one)
    wrong |= any(isinstance(value, bool | int | float) for value in several)
    wrong |= name == "view" and isinstance(event.get("category_id"), bool)
    return {"value_type_wrong"} if wrong else set()


def _time(event: dict[str, object], now: datetime | None) -> set[str]:
    value = event.get("timestamp")
    when = iso_time(value) if isinstance(value, str) and not blank(event, "timestamp") else None
    if now is None or when is None:
        return set()
    days = DAYS_KEPT.get(str(event.get("event")), 31)
    found = {"timestamp_in_future"} if when > now + timedelta(minutes=5) else set()
    return found | ({"timestamp_old"} if when < now - timedelta(days=days) else set())


def _is_plain_number(text: str) -> bool:
    return is_number(text, any_script=False)


def _is_address(text: str) -> bool:
    if any(c.isspace() for c in text) or text.count("@") != 1:
        return False
    local, _, domain = text.partition("@")
    labels = domain.split(".")
    return bool(local) and len(labels) > 1 and all(labels)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _is_uuid(text: str) -> bool:
    groups = text.split("-")
    hexadecimal = set("0123456789abcdefABCDEF")
    return [len(g) for g in groups] == [8, 4, 4, 4, 12] and all(
        set(g) <= hexadecimal for g in groups
    )


def iso_time(text: str) -> datetime | None:
    """The ISO 8601 time that a text is, whole or compact; None: it is none. No zone: UTC."""
    day, mark, clock = text.partition("T")
    extended = "-" in day
    if [len(part) for part in day.split("-")] != ([4, 2, 2] if extended else [8]):
        return None
    digits = day.replace("-", "")
    if not _digits(digits, any_script=False):
        return None
    year, month, on = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    try:
        date(year or 4, month, on)  # year 0 exists in ISO 8601 and leaps; Python has none
    except ValueError:
        return None
    seconds = _seconds(clock, extended=extended) if mark else 0.0
    if seconds is None:
        return None
    return datetime(year or 4, month, on, tzinfo=UTC) + timedelta(seconds=seconds)


def _seconds(clock: str, *, extended: bool) -> float | None:
    """Seconds of UTC since the day's midnight."""
    offset = 0
    for mark in "Z+-":
        if mark in clock:
            clock, _, zone = clock.partition(mark)
            shift = 0 if mark == "Z" and not zone else _offset(zone)
            if shift is None or (mark == "Z" and zone):
                return None
            offset = -shift if mark == "-" else shift
            break
    fraction = ""
    for mark in ".,":
        if mark in clock:
            clock, _, fraction = clock.partition(mark)
            if not _digits(fraction, any_script=False):
                return None
            break
    parts = clock.split(":") if extended else [clock[i : i + 2] for i in range(0, len(clock), 2)]
    if any(len(p) != 2 or not _digits(p, any_script=False) for p in parts):
        return None
    if len(parts) not in (2, 3) or (fraction and len(parts) == 2):
        return None
    hour, minute, second = (*map(int, parts), 0)[:3]
    if hour > 23 or minute > 59 or second > 60:
        return None
    return hour * 3600 + minute * 60 + second + float(f"0.{fraction or 0}") - offset


def _offset(zone: str) -> int | None:
    """Seconds that a zone is ahead of UTC, sign left out."""
    digits = zone.replace(":", "", 1) if zone[2:3] == ":" else zone
    if len(digits) not in (2, 4) or not _digits(digits, any_script=False) or zone.endswith(":"):
        return None
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    return hours * 3600 + minutes * 60 if hours < 24 and minutes < 60 else None
