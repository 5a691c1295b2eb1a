"""The sandbox against the documented examples of the event API, as literals."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from ingest.sandbox import BackgroundSandbox, SandboxOptions

BULK, EVENT = "/api/v1/bulkevents", "/api/v1/event"
BLANK_CUSTOMER = {"errors": [{"customer_id": "can't be blank"}]}


def _client(directory: Path, **settings: object) -> Iterator[httpx.Client]:
    options = SandboxOptions(store=directory / "store.db", **{"rate": 0, **settings})  # type: ignore[arg-type]
    with (
        BackgroundSandbox(options) as sandbox,
        httpx.Client(base_url=sandbox.url, auth=("event-key", "")) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    yield from _client(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(scope="module")
def page_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One that takes the page literally, and whose refusals are 422."""
    yield from _client(tmp_path_factory.mktemp("page"), identity="page", invalid_status=422)


@pytest.fixture(scope="module")
def keyed_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One with a key of its own, slow, and with another name for people."""
    yield from _client(
        tmp_path_factory.mktemp("keyed"),
        key="event-key",
        denial=403,
        rate=0.001,
        retry_after="120",
        identity_keys=("phone_number",),
    )


def _post(client: httpx.Client, path: str, body: object) -> tuple[int, object]:
    answer = client.post(path, json=body)
    assert answer.headers["x-request-id"]
    return answer.status_code, answer.json() if answer.content else None


# --- answers ------------------------------------------------------------------------------------


def test_single_event_is_ok(api: httpx.Client) -> None:
    """POST /api/v1/event answers {"status":"OK"}."""
    assert _post(api, EVENT, {"event": "view", "customer_id": "812123"}) == (200, {"status": "OK"})


def test_bulk_is_ok_with_a_count(api: httpx.Client) -> None:
    """POST /api/v1/bulkevents answers {"status":"ok","count":n}; the page's own example passes."""
    body = {
        "events": [
            {
                "customer_id": "abc812122",
                "event": "identify",
                "device_type": "ios",
                "device_tokens": "49244924492449244924492449244924492449244924",
                "device_id": "8abe3faa-d48d-4e4a-00ca-beae01f1c987",
                "device_idfa": "4d031ed8-c40e-57d4-9c99-a3e308d8cd78",
                "device_idfv": "6d031ec8-e40c-47d4-9c99-b3e308d8ed78",
                "device_manufacturer": "apple",
                "os_name": "ios",
                "network_carrier": "verizon",
                "ip": "201.44.11.21",
                "email": "jane.doe@acme.com",
                "latitude": "212.99333",
                "longitude": "-12.39334",
                "subscription_groups": [
                    {"id": "newsletter", "subscribed": True},
                    {"id": "weekly_promo", "subscribed": False},
                ],
            },
            {
                "customer_id": "812123",
                "event": "purchase",
                "ip": "201.44.11.22",
                "email": "jane.doe@acme.com",
                "revenue": "31.24",
            },
        ]
    }

    assert _post(api, BULK, body) == (200, {"status": "ok", "count": 2})


def test_refusal_is_a_list_of_fields_without_an_index(api: httpx.Client) -> None:
    """400 is {"errors":[{"customer_id":"can't be blank"}]}, and says twice what is wrong twice."""
    nobody = {"event": "view"}

    assert _post(api, EVENT, nobody) == (400, BLANK_CUSTOMER)
    assert _post(api, BULK, {"events": [nobody, {**nobody, "email": "a@b.example"}, nobody]}) == (
        400,
        {"errors": BLANK_CUSTOMER["errors"] * 2},
    )


def test_a_bulk_with_one_invalid_event_is_refused_whole(api: httpx.Client) -> None:
    """None of a refused batch is stored."""
    name = "refused_whole"
    good, bad = {"event": name, "customer_id": "1"}, {"event": "a.b", "customer_id": "1"}

    assert _post(api, BULK, {"events": [good, bad]})[0] == 400
    assert api.get(EVENT + "/history", params={"event_name": name}).json() == {name: []}


def test_refusals_can_be_422(page_api: httpx.Client) -> None:
    """The status of a refusal can be the other documented one."""
    assert _post(page_api, EVENT, {"customer_id": "1"}) == (
        422,
        {"errors": [{"event": "can't be blank"}]},
    )


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Basic Og==",  # no user name
        "Basic a2V5",  # "key", without the colon
        "Basic azpw",  # a password
        "Basic ???",
        "Bearer a2V5Og==",
    ],
)
def test_wrong_credentials_are_401(api: httpx.Client, authorization: str | None) -> None:
    """A missing key, or one in another form than Basic with an empty password, is 401."""
    headers = {} if authorization is None else {"Authorization": authorization}
    body = b'{"event":"view","customer_id":"1"}'

    for method, path in (("POST", EVENT), ("POST", BULK), ("GET", EVENT + "/debug")):
        with httpx.Client(base_url=api.base_url) as nobody:
            answer = nobody.request(method, path, content=body, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"message": "Not authorized"}
        assert answer.headers["x-request-id"]


def test_another_key_can_be_403_and_the_rate_is_429(keyed_api: httpx.Client) -> None:
    """A key without the right is 403; above the rate it is 429, with Retry-After if so set."""
    body = {"events": [{"event": "view", "phone_number": "+15555550100"}]}

    foreign = keyed_api.post(BULK, json=body, auth=("user-key", ""))
    first = keyed_api.post(BULK, json=body)
    second = keyed_api.post(BULK, json=body)

    assert (foreign.status_code, foreign.json()) == (403, {"message": "Forbidden"})
    assert (first.status_code, first.json()) == (200, {"status": "ok", "count": 1})
    assert (second.status_code, second.json()) == (429, {"message": "Rate limit exceeded"})
    assert second.headers["Retry-After"] == "120"


def test_unrouted_paths_are_404(api: httpx.Client) -> None:
    """A path that the API has not is {"status":"404","error":"Not Found"}, whoever asks."""
    for path in ("/", "/api/v1/events", "/api/v1/bulkevents/", "/api/v2/event"):
        assert _post(api, path, {}) == (404, {"status": "404", "error": "Not Found"})


def test_other_methods_are_405(api: httpx.Client) -> None:
    """Both endpoints take POST only, and say so."""
    for path in (EVENT, BULK):
        answer = api.get(path)
        assert answer.status_code == 405
        assert answer.headers["Allow"] == "POST"
    assert api.post(EVENT + "/debug").headers["Allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"view"', b'{"events":5}', b'{"events":[{"event":NaN}]}', b"\xff\xfe{\x00"],
)
def test_what_is_no_json_object_is_400(api: httpx.Client, body: bytes) -> None:
    """Malformed JSON is a 400 with a body that a parser must take, too."""
    answer = api.post(BULK, content=body)

    assert answer.status_code == 400
    assert answer.json() == {"error": "bad_request"}


def test_an_empty_list_of_events_is_400(api: httpx.Client) -> None:
    """A bulk call without events is refused."""
    assert _post(api, BULK, {"events": []}) == (400, {"errors": [{"events": "can't be blank"}]})


# --- limits -------------------------------------------------------------------------------------


def test_thirty_events_and_no_more(api: httpx.Client) -> None:
    """30 events are taken, 31 are 413, without a body."""
    one = {"event": "view", "customer_id": "1"}

    assert _post(api, BULK, {"events": [one] * 30}) == (200, {"status": "ok", "count": 30})
    assert _post(api, BULK, {"events": [one] * 31}) == (413, None)


@pytest.mark.parametrize("path", [EVENT, BULK])
def test_a_million_bytes_and_no_more(api: httpx.Client, path: str) -> None:
    """1,000,000 bytes of body are taken, one more is 413, as are far more and unannounced ones."""
    event = b'{"event":"view","customer_id":"1","pad":"%s"}'
    frame = event if path == EVENT else b'{"events":[' + event + b"]}"
    whole = frame % (b"x" * (1_000_000 - len(frame) + 2))
    over = whole.replace(b'x"', b'xx"')

    assert len(whole) == 1_000_000
    assert len(over) == 1_000_001
    assert api.post(path, content=whole).status_code == 200
    assert api.post(path, content=over).status_code == 413
    assert api.post(path, content=b"x" * 5_000_000).status_code == 413
    assert api.post(path, content=iter([whole, b" "])).status_code == 413


# --- event names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "identify",
        "identify1",
        "12_3",
        "2fa_enabled",
        "1_000",
        "NaN",
        "inf",
        "0x1A",
        "½",
        "²",
        "1e",
        "e5",
        "-",
        "+-5",
        "UPPER",
        "bsft_x",
        "_bsft_x",
        "a\u200bb",
        "\ufeffa",
        "注文",
        "é",
        "e\u0301",
        "x" * 64,
        "注" * 64,
        "😀" * 64,
    ],
)
def test_event_names_that_are_taken(api: httpx.Client, name: str) -> None:
    """Digits inside, what only Python calls a number, any script, and 64 code points are fine."""
    assert _post(api, EVENT, {"event": name, "customer_id": "1"})[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        " ",
        "\u3000",
        5,
        1.5,
        True,
        ["view"],
        {"name": "view"},
        "123",
        "-5",
        "+5",
        "1e5",
        "1E+5",
        "1.5",
        ".5",
        "5.",
        "١٢٣",
        "１２",
        "a.b",
        ".",
        "x" * 65,
        "😀" * 65,
        *(
            f"a{chr(code)}b"
            for code in (
                *range(0x9, 0xE),
                *range(0x1C, 0x21),
                0x85,
                0xA0,
                0x1680,
                *range(0x2000, 0x200B),
                0x2028,
                0x2029,
                0x202F,
                0x205F,
                0x3000,
            )
        ),
        " view",
        "view ",
        "view\n",
        "123\n",
    ],
    ids=ascii,
)
def test_event_names_that_are_refused(api: httpx.Client, name: object) -> None:
    """Periods, whitespace of any kind, numbers in any script, 65 characters and no name at all."""
    status, said = _post(api, EVENT, {"event": name, "customer_id": "1"})

    assert status == 400
    assert isinstance(said, dict)
    assert {field for error in said["errors"] for field in error} == {"event"}


def test_every_rule_that_a_name_breaks_is_said(api: httpx.Client) -> None:
    """A name with a period that is a number, too, is told both."""
    _, said = _post(api, EVENT, {"event": "1.5", "customer_id": "1"})

    assert isinstance(said, dict)
    assert len(said["errors"]) == 2


# --- identity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["customer_id", "email", "device_id", "cookie", "group_id"])
def test_any_one_identity_is_enough(api: httpx.Client, key: str) -> None:
    """One of the five that is not blank is enough, and a blank one is none."""
    assert _post(api, EVENT, {"event": "view", key: "00123"})[0] == 200
    for blank in (None, "", " \t", "\u00a0"):
        assert _post(api, EVENT, {"event": "view", key: blank}) == (400, BLANK_CUSTOMER)


@pytest.mark.parametrize("key", ["phone_number", "uuid", "device_token", "cookies"])
def test_other_names_are_no_identity(api: httpx.Client, key: str) -> None:
    """What is not one of the five is an attribute."""
    assert _post(api, EVENT, {"event": "view", key: "1"}) == (400, BLANK_CUSTOMER)


def test_page_takes_an_event_without_anybody(page_api: httpx.Client) -> None:
    """The page read literally: an event name is enough, but still has to be one."""
    assert _post(page_api, EVENT, {"event": "view"}) == (200, {"status": "OK"})
    assert _post(page_api, EVENT, {"event": "a.b"})[0] == 422


@pytest.mark.parametrize("value", [1.5, True, ["1"], {"id": "1"}])
def test_identities_are_texts(api: httpx.Client, value: object) -> None:
    """An identity that is neither a text nor a whole number is refused under its own name."""
    status, said = _post(api, EVENT, {"event": "view", "email": value, "customer_id": "1"})

    assert status == 400
    assert isinstance(said, dict)
    assert [*said["errors"][0]] == ["email"]


# --- fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        {"event_uuid": "1234abcd-efghijkj-1234kfjadslk-34iu123"},
        {"event_uuid": ""},
        {"latitude": "-12.39"},
        {"latitude": "212.99333"},
        {"device_token": "0f74"},
        {"device_tokens": "0f74"},
        {"timestamp": "2016-02-02T04:19:42Z"},
        {"timestamp": "20160412T172720Z"},
        {"timestamp": "11/11/2011"},
        {"revenue": 31.24},
        {"revenue": "$42"},
        {"an_attribute_of_mine": {"nested": [1, 2]}},
        {"subscription_groups": [{"id": "newsletter", "subscribed": True}]},
        {"_bsft_ts": "x"},
        {"customer_id": "x" * 500},
    ],
    ids=json.dumps,
)
def test_fields_that_the_api_tolerates(api: httpx.Client, more: dict[str, object]) -> None:
    """Unknown keys and values that are merely odd are taken: they are stored as they are."""
    for name in ("view", "purchase"):
        assert _post(api, EVENT, {"event": name, "customer_id": "1", **more})[0] == 200


# --- looking ------------------------------------------------------------------------------------


def test_history_has_the_newest_of_one_name(api: httpx.Client) -> None:
    """History gives at most 50, newest first, with event_uuid, timestamp and _bsft_ts."""
    name = "history_try"
    for start in (0, 30):
        events = [
            {"event": name, "customer_id": "1", "event_uuid": f"h{n}", "n": n}
            for n in range(start, start + 30)
        ]
        assert _post(api, BULK, {"events": events})[0] == 200
    _post(api, EVENT, {"event": name, "email": "a@b.example", "timestamp": "2016-02-02T04:19:42Z"})

    answer = api.get(EVENT + "/history", params={"event_name": name})
    three = api.get(EVENT + "/history", params={"event_name": name, "limit": 3})

    found = answer.json()[name]
    assert [row["event_uuid"] for row in found[1:]] == [f"h{n}" for n in range(59, 10, -1)]
    assert len(found) == 50
    assert found[0]["timestamp"] == "2016-02-02T04:19:42Z"
    assert found[1]["timestamp"] == found[1]["_bsft_ts"]
    assert found[1]["n"] == 59
    assert datetime.fromisoformat(found[1]["_bsft_ts"]).tzinfo is not None
    assert three.json() == {name: found[:3]}
    for wrong in ({}, {"event_name": name, "limit": 51}, {"event_name": name, "limit": "x"}):
        assert api.get(EVENT + "/history", params=wrong).status_code == 400


def test_debug_has_the_latest_of_each_name(api: httpx.Client) -> None:
    """Debug gives the latest event of every name."""
    for name, number in (("debug_a", 1), ("debug_b", 2), ("debug_a", 3)):
        _post(api, EVENT, {"event": name, "customer_id": str(number)})

    latest = api.get(EVENT + "/debug").json()

    assert latest["debug_a"]["customer_id"] == "3"
    assert latest["debug_b"]["customer_id"] == "2"
