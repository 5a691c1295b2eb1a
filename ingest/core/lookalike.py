"""Columns whose names look like what an event needs: suggestions, never decisions."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

# Names as exports spell them, letters and digits only, the likeliest first.
_EVENT = [
    "event",
    "eventname",
    "eventtype",
    "eventkey",
    "evt",
    "evtname",
    "eventaction",
    "eventcode",
    "trackevent",
    "activity",
    "activityname",
    "activitytype",
    "action",
    "actionname",
    "actiontype",
    "interaction",
    "type",
    "kind",
    "name",
]

_IDENTITY: Mapping[str, Sequence[str]] = {
    "customer_id": [
        "customerid",
        "custid",
        "customer",
        "customerno",
        "customernumber",
        "customerkey",
        "customeruuid",
        "cid",
        "userid",
        "uid",
        "user",
        "useruuid",
        "usernumber",
        "memberid",
        "membernumber",
        "member",
        "clientid",
        "client",
        "accountid",
        "account",
        "contactid",
        "contact",
        "profileid",
        "personid",
        "shopperid",
        "subscriberid",
        "externalid",
        "distinctid",
        "loyaltyid",
    ],
    "email": [
        "email",
        "emailaddress",
        "mail",
        "useremail",
        "customeremail",
        "contactemail",
        "emailid",
    ],
    "device_id": [
        "deviceid",
        "device",
        "deviceuuid",
        "deviceidentifier",
        "installid",
        "installationid",
        "appinstanceid",
        "udid",
    ],
    "cookie": [
        "cookie",
        "cookieid",
        "bsftcookie",
        "visitorid",
        "visitor",
        "anonymousid",
        "anonid",
        "clientcookie",
        "browserid",
    ],
    "group_id": ["groupid", "householdid", "household"],
}

# Exact names first, in this order; then whatever ends like a time, in the order of the header.
_TIME = [
    "eventtimestamp",
    "eventtime",
    "eventdatetime",
    "eventat",
    "eventts",
    "eventdate",
    "occurredat",
    "occurred",
    "happenedat",
    "timestamp",
    "timestamputc",
    "timestampms",
    "ts",
    "time",
    "timeutc",
    "utctime",
    "timehour",
    "datetime",
    "dateutc",
    "date",
    "clienttimestamp",
    "clienttime",
    "servertimestamp",
    "originaltimestamp",
    "createdat",
    "created",
    "createdon",
    "createdtime",
    "sentat",
    "orderdate",
    "purchasedate",
    "purchasedat",
    "orderedat",
    "loggedat",
    "visitedat",
    "receivedat",
    "when",
]
_TIME_ENDING = re.compile(r"(?:^|_)(?:at|ts|time|date|datetime|timestamp)$")

# Times of a person, a contract or a product, not of the event.
_OTHER_TIME = re.compile(
    r"^(?:joined|birth|date_of_birth|dob|expir|valid|subscription_|due|delivery|estimated)|"
    r"(?:birth|expiry|expiration|expires)_?(?:date|at)$"
)

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def close_to(name: str, names: Iterable[str]) -> list[str]:
    """Names that a mistyped one may mean, the nearest first; at most three."""
    known = list(dict.fromkeys(names))
    same = [each for each in known if _plain(each) == _plain(name)]
    by_case = {each.casefold(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), by_case, n=3)
    return list(dict.fromkeys([*same, *(by_case[each] for each in near)]))[:3]


def event_like(columns: Sequence[str]) -> str | None:
    """The column that most likely holds the event's name."""
    return _first(_EVENT, columns)


def identity_like(columns: Sequence[str], fields: Collection[str]) -> dict[str, str]:
    """A likely column for each identity field that has one.

    Args:
        columns: Names of columns.
        fields: Identity fields, in the order in which they are to be suggested.
    """
    found: dict[str, str] = {}
    for field in fields:
        free = [column for column in columns if column not in found.values()]
        column = _first(_IDENTITY.get(field, (_plain(field),)), free)
        if column is not None:
            found[field] = column
    return found


def time_like(columns: Sequence[str]) -> list[str]:
    """Columns that likely hold the time of the event, the likeliest first."""
    exact = [column for wanted in _TIME for column in columns if _plain(column) == wanted]
    ending = [column for column in columns if _ends_like_a_time(column)]
    return list(dict.fromkeys([*exact, *ending]))


def _first(wanted: Iterable[str], columns: Sequence[str]) -> str | None:
    plain = {_plain(column): column for column in reversed(columns)}
    return next((plain[name] for name in wanted if name in plain), None)


def _ends_like_a_time(column: str) -> bool:
    words = re.sub(r"[^a-z0-9]+", "_", _WORD_START.sub("_", column).lower()).strip("_")
    return bool(_TIME_ENDING.search(words)) and not _OTHER_TIME.search(words)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
