"""Every answer of the API has one meaning and one decision."""

from dataclasses import replace

import pytest

from ingest.core.outcome import (
    Act,
    Decision,
    Failure,
    Meaning,
    Reply,
    RetryPolicy,
    Stop,
    decide,
    meaning_of,
    retry_after_s,
)

OK = b'{"status":"ok","count":30}'
POLICY = RetryPolicy(base_s=1, cap_s=30, budget_s=100, hold_budget_s=1000, retry_after_cap_s=300)
NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def decided(
    reply: Reply,
    *,
    events: int = 30,
    attempt: int = 1,
    waited_s: float = 0.0,
    jitter: float = 0.5,
    after_unknown: bool = False,
    queued_s: float = 0.0,
) -> Decision:
    """A decision with the usual surroundings."""
    return decide(
        reply,
        events=events,
        attempt=attempt,
        waited_s=waited_s,
        policy=POLICY,
        jitter=jitter,
        after_unknown=after_unknown,
        now_wall_s=NOW,
        queued_s=queued_s,
    )


def act(status: int, body: bytes = b"{}", *, events: int = 30) -> tuple[Act, Stop | None, bool]:
    """What becomes of a whole answer: the step, why it stops, and whether there is doubt."""
    decision = decided(Reply(status, body=body), events=events)
    return decision.act, decision.stop, decision.doubt


SURE, DOUBT = False, True
ADDRESS = (Act.STOP, Stop.ADDRESS, SURE)
CREDENTIALS = (Act.STOP, Stop.CREDENTIALS, SURE)
AGAIN = (Act.RETRY, None, SURE)
UNKNOWN = (Act.RETRY, None, DOUBT)
NARROW = (Act.NARROW, None, DOUBT)
REFUSED = (Act.REFUSED, None, SURE)


@pytest.mark.parametrize(
    ("status", "batch", "single"),
    [
        pytest.param(101, ADDRESS, ADDRESS, id="N9-101"),
        pytest.param(201, UNKNOWN, UNKNOWN, id="N12-201"),
        pytest.param(202, UNKNOWN, UNKNOWN, id="N12-202"),
        pytest.param(204, UNKNOWN, UNKNOWN, id="N12-204"),
        *(
            pytest.param(status, ADDRESS, ADDRESS, id=f"N26-{status}")
            for status in (301, 302, 303, 304, 307, 308)
        ),
        pytest.param(400, NARROW, REFUSED, id="N13-400"),
        pytest.param(401, CREDENTIALS, CREDENTIALS, id="N14-401"),
        pytest.param(402, CREDENTIALS, CREDENTIALS, id="402"),
        pytest.param(403, CREDENTIALS, CREDENTIALS, id="N14-403"),
        pytest.param(404, ADDRESS, ADDRESS, id="N15-404"),
        pytest.param(405, ADDRESS, ADDRESS, id="N15-405"),
        pytest.param(407, ADDRESS, ADDRESS, id="N27-407"),
        pytest.param(408, AGAIN, AGAIN, id="N16-408"),
        pytest.param(409, AGAIN, AGAIN, id="N16-409"),
        pytest.param(410, ADDRESS, ADDRESS, id="410"),
        pytest.param(413, (Act.HALVE, None, SURE), REFUSED, id="N17-413"),
        pytest.param(418, NARROW, REFUSED, id="unlisted-4xx"),
        pytest.param(422, NARROW, REFUSED, id="N18-422"),
        pytest.param(425, AGAIN, AGAIN, id="N16-425"),
        pytest.param(429, (Act.HOLD_ALL, None, SURE), (Act.HOLD_ALL, None, SURE), id="N19-429"),
        *(
            pytest.param(status, UNKNOWN, UNKNOWN, id=f"N21-{status}")
            for status in (500, 501, 502, 503, 504, 599)
        ),
        pytest.param(999, UNKNOWN, UNKNOWN, id="no-status-at-all"),
    ],
)
def test_each_status_has_its_step(status: int, batch: object, single: object) -> None:
    """A status decides the step, the stop and the doubt, for a batch and for one event."""
    assert (act(status), act(status, events=1)) == (batch, single)


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        pytest.param(OK, Meaning.DELIVERED, id="bulk-ok"),
        pytest.param(b'{"status":"OK"}', Meaning.DELIVERED, id="single-OK"),
        pytest.param(b' {"status": "Ok", "errors": []}\n', Meaning.DELIVERED, id="no-errors"),
        pytest.param(b'\xef\xbb\xbf{"status":"ok"}', Meaning.DELIVERED, id="byte-order-mark"),
        pytest.param(b'{"status":"Bad request"}', Meaning.INVALID, id="N10-bad-request"),
        pytest.param(b'{"status":"ok","errors":[{"a":"b"}]}', Meaning.INVALID, id="N10-errors"),
        pytest.param(b'{"success":false,"error":"x"}', Meaning.INVALID, id="N10-error"),
        pytest.param(b"<html>Sign in</html>", Meaning.UNKNOWN, id="N11-html"),
        pytest.param(b"", Meaning.UNKNOWN, id="N11-empty"),
        pytest.param(b"ok", Meaning.UNKNOWN, id="N11-not-json"),
        pytest.param(b'"ok"', Meaning.UNKNOWN, id="N11-text"),
        pytest.param(b'["ok"]', Meaning.UNKNOWN, id="N11-list"),
        pytest.param(b"{}", Meaning.UNKNOWN, id="N11-no-status"),
        pytest.param(b'{"status":200}', Meaning.UNKNOWN, id="N11-status-no-text"),
        pytest.param(b'{"status":"ok"', Meaning.UNKNOWN, id="N11-cut"),
        pytest.param(b"[" * 60_000, Meaning.UNKNOWN, id="N24-nesting"),
        pytest.param(b'{"count":' + b"9" * 60_000 + b"}", Meaning.UNKNOWN, id="N24-digits"),
        pytest.param(b"\xff\xfe\x00", Meaning.UNKNOWN, id="N11-no-text"),
    ],
)
def test_a_200_counts_only_with_the_apis_ok(body: bytes, meaning: Meaning) -> None:
    """A 200 is delivered only as a JSON object whose status is ok and which holds no errors."""
    assert meaning_of(Reply(200, body=body)) is meaning


def test_a_wrong_count_is_a_warning() -> None:
    """An answer that counts other than we did is delivered, with a note."""
    assert decided(Reply(200, body=OK), events=29) == Decision(
        Act.DELIVERED, note="the API counted 30 of 29 events"
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(OK, id="equal"),
        pytest.param(b'{"status":"ok"}', id="none"),
        pytest.param(b'{"status":"ok","count":true}', id="no-number"),
    ],
)
def test_a_right_or_missing_count_says_nothing(body: bytes) -> None:
    """Nothing is said of a count that agrees or is not there."""
    assert decided(Reply(200, body=body)) == Decision(Act.DELIVERED)


@pytest.mark.parametrize("failure", list(Failure))
def test_a_failure_is_tried_again_with_doubt_where_it_may_have_been_seen(failure: Failure) -> None:
    """A request that the server may have seen is in doubt; one that it cannot have seen is not."""
    decision = decided(Reply(None, failure, complete=False, detail="why"))

    if failure in {Failure.CERTIFICATE, Failure.PROXY_AUTH}:
        assert (decision.act, decision.stop, decision.doubt) == ADDRESS
    else:
        assert (decision.act, decision.stop, decision.doubt) == (Act.RETRY, None, failure.seen)
    assert decision.note.endswith(": why")


UNSEEN = {"dns", "refused", "unreachable", "connect_timeout", "tls", "certificate"} | {
    "proxy",
    "proxy_auth",
    "descriptors",
}


def test_only_what_failed_before_the_request_was_surely_not_seen() -> None:
    """The failures without doubt are those of the way to the server, and no others."""
    assert {failure.value for failure in Failure if not failure.seen} == UNSEEN


@pytest.mark.parametrize("status", [200, 400, 401, 404, 413, 422, 503])
def test_an_answer_that_was_cut_is_unknown_whatever_its_status(status: int) -> None:
    """N6: an answer that was not read to its end says nothing."""
    reply = Reply(status, Failure.DISCONNECTED, body=OK, complete=False)

    assert (decided(reply).act, decided(reply).doubt) == (Act.RETRY, True)


def test_a_429_that_was_cut_still_holds_everyone() -> None:
    """A 429 that was not read to its end holds all, and leaves doubt."""
    reply = Reply(429, Failure.RESET, complete=False)

    assert (decided(reply).act, decided(reply).doubt) == (Act.HOLD_ALL, True)


@pytest.mark.parametrize(
    ("events", "after_unknown", "expected"),
    [
        pytest.param(1, True, (Act.DELIVERED, True), id="single-after-unknown"),
        pytest.param(1, False, (Act.RETRY, False), id="single-at-first"),
        pytest.param(2, True, (Act.NARROW, True), id="batch-after-unknown"),
        pytest.param(2, False, (Act.RETRY, False), id="batch-at-first"),
    ],
)
def test_a_conflict_after_an_unknown_attempt_is_delivered(
    *, events: int, after_unknown: bool, expected: object
) -> None:
    """A 409 after an unknown attempt says that one event is there already; of several, each is asked."""
    decision = decided(Reply(409, body=b"{}"), events=events, after_unknown=after_unknown)

    assert (decision.act, decision.doubt) == expected


@pytest.mark.parametrize(
    ("attempt", "jitter", "wait_s"),
    [
        pytest.param(1, 0.5, 0.5, id="first"),
        pytest.param(4, 0.5, 4.0, id="fourth-of-8"),
        pytest.param(6, 1.0, 30.0, id="capped"),
        pytest.param(10_000, 1.0, 30.0, id="no-overflow"),
        pytest.param(3, 0.0, 0.0, id="no-jitter"),
    ],
)
def test_waits_double_up_to_the_cap_with_full_jitter(
    attempt: int, jitter: float, wait_s: float
) -> None:
    """The wait is jitter x min(cap, base x 2^(attempt - 1))."""
    assert decided(Reply(503), attempt=attempt, jitter=jitter).wait_s == wait_s


def test_a_hold_is_at_least_half_of_the_ceiling() -> None:
    """A hold speaks for all workers, so it is never near 0."""
    assert decided(Reply(429), attempt=4, jitter=0.0).wait_s == 4.0


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("Tue, 14 Nov 2023 22:13:50 GMT", 30.0, id="date"),
        pytest.param("Tue, 14 Nov 2023 22:13:50 -0000", 30.0, id="date-without-zone"),
    ],
)
def test_a_retry_after_is_kept(status: int, header: str, wait_s: float) -> None:
    """N20: seconds and dates are kept."""
    assert decided(Reply(status, retry_after=header), jitter=0.0).wait_s == wait_s


@pytest.mark.parametrize(
    "header",
    ["1000000000", "9" * 5000, "Fri, 01 Jan 2999 00:00:00 GMT"],
    ids=["N20-1e9", "N20-digits", "N20-2999"],
)
def test_an_absurd_retry_after_is_cut(header: str) -> None:
    """N20: nobody waits longer than the cap."""
    assert decided(Reply(429, retry_after=header)).wait_s == 300.0


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "0",
        "-5",
        "soon",
        "1.5.2",
        "٣",
        "Tue, 14 Nov 2023 22:13:19 GMT",
        "Tue, 99 Nov 2023 22:13:19 GMT",
        "Tue, 14 Nov 99999999 22:13:19 GMT",
        "1, 2",
        "\x00",
    ],
)
def test_a_retry_after_that_asks_for_nothing_leaves_the_backoff(header: str | None) -> None:
    """N20: nothing, the past, a negative number and garbage leave the usual wait."""
    assert retry_after_s(header, now_wall_s=NOW) is None
    assert decided(Reply(503, retry_after=header)).wait_s == 0.5


@pytest.mark.parametrize(
    ("waited_s", "expected"),
    [
        pytest.param(99.5, Act.RETRY, id="ends-in-time"),
        pytest.param(99.6, Act.PARK, id="would-end-late"),
    ],
)
def test_a_batch_is_parked_when_its_budget_is_used_up(waited_s: float, expected: Act) -> None:
    """N22: the next attempt must begin within the budget."""
    decision = decided(Reply(503), waited_s=waited_s)

    assert (decision.act, decision.doubt) == (expected, True)


def test_a_hold_has_a_budget_of_its_own() -> None:
    """429 is no fault of the batch: it may wait longer, and not for ever."""
    assert decided(Reply(429), waited_s=900).act is Act.HOLD_ALL
    assert decided(Reply(429), waited_s=999.9).act is Act.PARK


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        pytest.param(
            Reply(500, body=b'{"message":"oops"}', request_id="ab-1"),
            "500 (request id ab-1), contact Blueshift if it goes on: oops",
            id="N21-500",
        ),
        pytest.param(Reply(503), "503", id="503"),
        pytest.param(
            Reply(307, location="https://u:p@evil.example:8443/steal?key=1"),
            "307: the API sends us to https://evil.example:8443; redirects are not followed",
            id="N26-redirect",
        ),
        pytest.param(
            Reply(302, location="/login"),
            "302: the API sends us to the same host; redirects are not followed",
            id="N26-relative",
        ),
        pytest.param(
            Reply(302),
            "302: the API sends us to nowhere; redirects are not followed",
            id="N26-no-target",
        ),
        pytest.param(
            Reply(200, body=b"<html>"),
            "200 without the API's ok (a web page): <html>",
            id="N11-html",
        ),
        pytest.param(Reply(200), "200 without the API's ok (an empty body)", id="N11-empty"),
        pytest.param(
            Reply(200, body=b"{}"), "200 without the API's ok (no status): {}", id="N11-object"
        ),
        pytest.param(
            Reply(200, body=b"x"), "200 without the API's ok (not JSON): x", id="N11-text"
        ),
        pytest.param(Reply(422, body=b'{"error":"x"}'), "422 for a batch of 30: x", id="N18-batch"),
        pytest.param(
            Reply(None, Failure.READ_TIMEOUT, complete=False), "read timeout", id="N4-timeout"
        ),
        pytest.param(
            Reply(200, Failure.RESET, complete=False, request_id="r", detail="gone\x07"),
            r"reset in the answer 200 (request id r): gone\x07",
            id="N6-reset",
        ),
    ],
)
def test_a_note_says_in_one_line_what_came_back(reply: Reply, note: str) -> None:
    """A person reads what happened, and no secret of an address."""
    assert decided(reply).note == note


def test_a_refusal_carries_the_servers_words() -> None:
    """N13: one event that is refused has the server's words for the report."""
    reply = Reply(400, body=b'{"errors":[{"email":"is odd"}]}')

    assert decided(reply, events=1) == Decision(
        Act.REFUSED, note="400: email: is odd", message="email: is odd"
    )


@pytest.mark.parametrize(
    ("reply", "blames"),
    [
        pytest.param(Reply(500, body=b"{}"), True, id="500"),
        pytest.param(Reply(501, body=b"{}"), True, id="501"),
        pytest.param(Reply(409, body=b"{}"), True, id="409"),
        pytest.param(Reply(502, body=b"{}"), False, id="502"),
        pytest.param(Reply(503, body=b"{}"), False, id="503"),
        pytest.param(Reply(504, body=b"{}"), False, id="504"),
        pytest.param(Reply(408, body=b"{}"), False, id="408"),
        pytest.param(Reply(202, body=b""), False, id="202"),
        pytest.param(Reply(500, Failure.RESET, complete=False), False, id="500-cut-off"),
        pytest.param(Reply(None, Failure.READ_TIMEOUT, complete=False), False, id="no-answer"),
    ],
)
def test_a_last_answer_blames_the_events_or_the_server(reply: Reply, *, blames: bool) -> None:
    """Only a whole answer that is not a busy server's or a gateway's speaks of the events."""
    decision = decided(reply, waited_s=101)

    assert (decision.act, decision.blames) == (Act.PARK, blames)


@pytest.mark.parametrize(
    ("status", "queued_s", "expected"),
    [
        pytest.param(503, 450.0, Act.RETRY, id="mostly-queued"),
        pytest.param(503, 390.0, Act.PARK, id="over-without-the-queue"),
        pytest.param(429, 450.0, Act.HOLD_ALL, id="429-within-its-own"),
    ],
)
def test_waiting_for_the_limit_uses_up_no_budget(
    status: int, queued_s: float, expected: Act
) -> None:
    """The budget is for what the server fails at, not for the account's limit or a hold."""
    decision = decided(Reply(status, body=b"{}"), waited_s=500.0, queued_s=queued_s)

    assert decision.act is expected


def test_the_queue_counts_for_the_budget_of_holds() -> None:
    """Endless 429 ends, too: its budget is over all of the time."""
    assert decided(Reply(429), waited_s=999.9, queued_s=990.0).act is Act.PARK


def test_a_reply_that_contradicts_itself_cannot_be() -> None:
    """An answer is whole exactly when nothing failed."""
    with pytest.raises(ValueError, match="whole"):
        Reply(200, Failure.RESET)
    with pytest.raises(ValueError, match="whole"):
        Reply(None)
    with pytest.raises(ValueError, match="whole"):
        Reply(200, complete=False)


def test_a_stop_has_a_reason() -> None:
    """A run ends for a reason, and only then has one."""
    with pytest.raises(ValueError, match="reason"):
        Decision(Act.STOP)
    with pytest.raises(ValueError, match="reason"):
        replace(Decision(Act.PARK), stop=Stop.ADDRESS)
