"""Addresses and keys that cannot be misread."""

import base64

import pytest

from ingest.core.address import (
    Address,
    Endpoint,
    Region,
    address_of,
    authorization_of,
    redacted,
)
from ingest.errors import UsageError


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        pytest.param("https://api.getblueshift.com", "https://api.getblueshift.com", id="us"),
        pytest.param("https://API.Example.COM:443/", "https://api.example.com", id="same-origin"),
        pytest.param("https://example.com:8443", "https://example.com:8443", id="port"),
        pytest.param("http://127.0.0.1:80", "http://127.0.0.1", id="loopback"),
        pytest.param("http://localhost:8080", "http://localhost:8080", id="localhost"),
        pytest.param("http://[::1]:8080", "http://[::1]:8080", id="loopback-6"),
        pytest.param("https://[2001:db8::1]", "https://[2001:db8::1]", id="address-6"),
        pytest.param("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", id="idna"),
    ],
)
def test_an_origin_has_one_form(url: str, origin: str) -> None:
    """Spellings of the same origin become the same text, which state is kept by."""
    assert address_of(url).origin == origin


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("http://api.getblueshift.com", "in the clear", id="X5-http"),
        pytest.param("http://127.0.0.1.example.com", "in the clear", id="X5-looks-local"),
        pytest.param("http://0.0.0.0", "in the clear", id="X5-any"),
        pytest.param("http://127.1", "no valid host", id="X8-short-address"),
        pytest.param("http://0x7f.1", "no valid host", id="X8-hex-address"),
        pytest.param("http://2130706433", "no valid host", id="X8-number-address"),
        pytest.param("https://user:hunter2@example.com", "password", id="X4-password"),
        pytest.param("https://@example.com", "password", id="X4-empty-user"),
        pytest.param("https://example.com\r\nX: y", "control", id="X17-crlf"),
        pytest.param("https://exam ple.com", "blank", id="X17-blank"),
        pytest.param("https://example.com\\@evil.com", "control", id="X8-backslash"),
        pytest.param("https://bücher.example", "ASCII", id="X8-letters"),
        pytest.param("ftp://example.com", "https://", id="scheme"),
        pytest.param("api.getblueshift.com", "https://", id="no-scheme"),
        pytest.param("", "https://", id="empty"),
        pytest.param("https://", "no valid host", id="no-host"),
        pytest.param("https://example.com/api/v1/event", "goes on", id="path"),
        pytest.param("https://example.com?", "goes on", id="query"),
        pytest.param("https://example.com#", "goes on", id="fragment"),
        pytest.param("https://example.com:0", "no port 0", id="port-0"),
        pytest.param("https://example.com:99999", "not a URL", id="port-high"),
        pytest.param("https://example.com:x", "not a URL", id="port-text"),
        pytest.param("https://[::1", "not a URL", id="bracket"),
        pytest.param("https://[fe80::1%25eth0]", "no valid host", id="zone"),
        pytest.param("https://example..com", "no valid host", id="empty-label"),
        pytest.param("https://example.com.", "no valid host", id="root-dot"),
        pytest.param("https://-a.example", "no valid host", id="hyphen"),
        pytest.param("https://" + "a" * 64 + ".example", "no valid host", id="long-label"),
    ],
)
def test_a_doubtful_address_is_refused(url: str, why: str) -> None:
    """What two programs could read differently is no address, and its password is not repeated."""
    with pytest.raises(UsageError, match=why) as caught:
        address_of(url)

    assert "hunter2" not in caught.value.message + caught.value.hint


def test_the_contracts_addresses() -> None:
    """Hosts and paths are those of the contract."""
    urls = {
        (region, endpoint): address_of(region.origin).url(endpoint)
        for region in Region
        for endpoint in Endpoint
    }

    assert urls == {
        (Region.US, Endpoint.BULK): "https://api.getblueshift.com/api/v1/bulkevents",
        (Region.US, Endpoint.EVENT): "https://api.getblueshift.com/api/v1/event",
        (Region.EU, Endpoint.BULK): "https://api.eu.getblueshift.com/api/v1/bulkevents",
        (Region.EU, Endpoint.EVENT): "https://api.eu.getblueshift.com/api/v1/event",
    }


def test_each_endpoint_has_its_wrapper() -> None:
    """Bulk bodies are wrapped, single ones are not."""
    assert Endpoint.BULK.wrapper.overhead == len('{"events":[]}')
    assert Endpoint.EVENT.wrapper.overhead == 0


def test_this_machine_is_known() -> None:
    """Loopback is what the system calls so."""
    assert Address("http", "127.8.9.1", 80).loopback
    assert not Address("https", "example.com", 443).loopback


def test_the_key_is_the_user_name_with_no_password() -> None:
    """The header is Basic base64(key + ":")."""
    assert authorization_of("k3y") == "Basic " + base64.b64encode(b"k3y:").decode()


@pytest.mark.parametrize(
    "key",
    ["", "secret\r\nX: y", "sec:ret", "sec ret", "secret\x00", "sécret"],
    ids=["empty", "X17-crlf", "colon", "blank", "null", "letters"],
)
def test_a_key_that_could_not_stand_in_a_header_is_refused(key: str) -> None:
    """X17: such a key is refused without being shown."""
    with pytest.raises(UsageError) as caught:
        authorization_of(key)

    assert "ret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("https://u:p@h.example/p?q#f", "https://h.example", id="secrets"),
        pytest.param("//h.example:1/x", "h.example:1", id="no-scheme"),
        pytest.param("http://[::1]:8/x", "http://[::1]:8", id="address-6"),
        pytest.param("/login?token=1", "the same host", id="relative"),
        pytest.param("https://h:x/", "an unreadable address", id="bad-port"),
        pytest.param("https://h\x1b[31m/", "an unreadable address", id="X14-escape"),
    ],
)
def test_an_address_from_elsewhere_is_shown_without_secrets(url: str, shown: str) -> None:
    """Only scheme, host and port are shown."""
    assert redacted(url) == shown
