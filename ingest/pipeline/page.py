"""What `report.html` says of a run: the summary, the causes of rejects, and the requests over time.

The page stays below a megabyte however much there is to say: it shows the sources with the most
rejects, their most frequent causes, and a few samples; the files beside it hold everything.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ingest import __version__
from ingest.config import SANDBOX_ORIGIN, flags_for
from ingest.core.causes import BINS, Cause, Causes
from ingest.core.figures import counted, duration, size
from ingest.core.guard import printable
from ingest.core.load import Load, tally
from ingest.core.mending import OUTCOMES
from ingest.core.rules import catalogue
from ingest.core.suggest import suggester
from ingest.core.timeline import KINDS, Timeline
from ingest.edges.page import percent, render
from ingest.edges.validator import load_documents
from ingest.pipeline.summary import SourceResult

MOST_BYTES: Final = 1_000_000
"""Of the page (issue: under 1 MB however many rejects)."""

_SOURCES: Final = 8
_CAUSES: Final = 12
_CODES_PAGE: Final = "docs/reject-codes.md"
_TABLE: Final = 25  # rows for each source that is shown in full
_MOST_PATH: Final = 240
_EVENTS: Final = 15
_WARNINGS: Final = 40
_NOTES: Final = 6
_TONES: Final = {
    "accepted": ("delivered", "accepted"),
    "slowed": ("doubt", "slowed down (429)"),
    "refused": ("refused", "refused (4xx)"),
    "failed": ("rejected", "failed or without an answer"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the rejects of one source.

    Args:
        causes: The most frequent first.
        places: Rejects in equal parts of the source.
        events: Rejects by the event that they name.
        records: Rejected and refused records.
    """

    causes: tuple[Cause, ...]
    places: tuple[int, ...]
    events: Mapping[str, int]
    records: int


def causes_of(load: Load, *, mask: Callable[[str], str] | None = None) -> Causes:
    """Give the counter for the rejects of a load; with `mask`, it keeps no value that is shown."""
    form: Any = load.form
    mapping: Any = load.config["mapping"]
    events = [
        field["source"]
        for field in mapping.get("fields", ())
        if field["name"] == "event" and field["source"]
    ]
    header = list(form["columns"])
    return Causes(
        header,
        event_columns=events,
        first_offset=int(form["start"][0]),
        size=load.identity.size,
        suggest=suggester(header),
        mask=mask,
    )


def told(causes: Causes, *, read: int) -> Told:
    """Give what was counted, small enough to be kept for each source of a run."""
    events = dict(list(causes.events.items())[: 4 * _EVENTS])
    found = causes.causes(read=read)
    return Told(tuple(found), tuple(causes.places), events, causes.records)


def timeline_of(attempts: Iterable[Mapping[str, Any]], run_id: str) -> Timeline:
    """Count the attempts of a run."""
    timeline = Timeline()
    for attempt in attempts:
        if attempt.get("run") == run_id:
            timeline.add(attempt)
    return timeline


def page_of(
    summary: Mapping[str, Any],
    results: Sequence[SourceResult],
    rejects: Mapping[Any, Told],
    timeline: Timeline | None,
    *,
    directory: Path,
    sends: bool,
    masked: bool = False,
) -> bytes:
    """Give the page of a run.

    Args:
        summary: As `summary.json` has it.
        results: The sources of the run.
        rejects: What is known of their rejects, by source id.
        timeline: Of its requests; None where nothing was to be sent.
        directory: Where the page is going to stand; links go from there.
        sends: Whether it was a run or a check.
        masked: Names of events and the words of the API are left out.
    """
    view = _View(summary, results, rejects, timeline, directory, sends=sends, masked=masked)
    sources, causes = _SOURCES, _CAUSES
    while True:
        page = render(view.page(sources=sources, causes=causes))
        if len(page) < MOST_BYTES or sources + causes == 1 + 1:
            return page
        sources, causes = max(sources // 2, 1), max(causes // 2, 1)


class _View:
    """A run, in the words of the page."""

    def __init__(
        self,
        summary: Mapping[str, Any],
        results: Sequence[SourceResult],
        rejects: Mapping[Any, Told],
        timeline: Timeline | None,
        directory: Path,
        *,
        sends: bool,
        masked: bool,
    ) -> None:
        self._summary = summary
        distinct = {result.load.source_id: result for result in results}
        self._results = list(distinct.values())
        self._rejects = rejects
        self._timeline = timeline
        self._directory = directory
        self._sends = sends
        self._masked = masked
        self._counts: Mapping[str, int] = summary["records"]
        self._marks: Mapping[str, int] = summary["of_which"]
        self._texts = catalogue(load_documents(()))
        destination = summary["destination"]
        self._api = "the sandbox" if destination.get("origin") == SANDBOX_ORIGIN else "Blueshift"

    def page(self, *, sources: int, causes: int) -> dict[str, Any]:
        """Give the values that the template asks for."""
        summary = self._summary
        ranked = sorted(self._results, key=lambda result: -self._turned_away(result))
        shown = ranked[:sources]
        events, more_events = ([], 0) if self._masked else self._events()
        rows = self._table() if len(self._results) > 1 else []
        return {
            "title": f"{self._headline()} - ingest {summary['run_id']}",
            "headline": self._headline(),
            "lede": self._lede(),
            "status": self._status(),
            "error": summary["error"] if summary["error"]["message"] else None,
            "ends": self._ends(),
            "total": self._counts["read"],
            "marks": self._kept_marks(),
            "whole_label": ", ".join(f"{e['count']:,} {e['name']}" for e in self._ends()),
            "sum": self._sum(),
            "steps": self._steps(),
            "returned": self._returned(),
            "verified": self._verified(),
            "sources": [self._source(each, causes, many=len(ranked) > 1) for each in shown],
            "more_sources": rows[: sources * _TABLE],
            "left_out": max(len(rows) - sources * _TABLE, 0),
            "events": events,
            "more_events": more_events,
            "most_events": max((e["passed"] + e["rejected"] for e in events), default=1) or 1,
            "times": self._times(),
            "traffic": self._traffic(),
            "warnings": self._warnings(),
            "warned": self._warned(),
            "about": self._about(),
            "version": __version__,
        }

    # -- at a glance -----------------------------------------------------------------------

    def _headline(self) -> str:
        counts = self._counts
        read, good = counts["read"], counts["delivered" if self._sends else "unsent"]
        what = "delivered" if self._sends else "would be sent"
        if not read:
            return "No record was read"
        if good == read:
            return f"All {read:,} records {'were delivered' if self._sends else what}"
        return f"{good:,} of {read:,} records {'were delivered' if self._sends else what}"

    def _lede(self) -> str:
        summary, destination = self._summary, self._summary["destination"]
        what = "Retry" if "retry" in summary else "Run" if self._sends else "Check"
        begun = _when(summary["started_at"])
        to = ""
        if self._sends and destination["url"]:
            to = f" to {destination['url']}, account {destination['account']}"
        took = duration(summary["duration_s"])
        return f"{what} {summary['run_id']}{to}, begun {begun}, {took}."

    def _status(self) -> dict[str, str]:
        code = self._summary["exit_code"]
        tone = "good" if code == 0 else "mixed" if code == 3 else "bad"  # noqa: PLR2004 - exit codes
        word = self._summary["status"]
        return {"tone": tone, "word": f"{word} (exit code {code})"}

    def _ends(self) -> list[dict[str, Any]]:
        unsent = "not sent" if self._sends else "would be sent"
        later = f": accepted by {self._api}, which processes events later" if self._sends else ""
        ends = [
            ("delivered", "delivered", "delivered", later),
            ("rejected", "rejected", "rejected", ": by our check, never sent"),
            ("refused", "refused", "refused", f": {self._api} did not take them"),
            ("unsent", unsent, "unsent" if self._sends else "delivered", ""),
        ]
        at, whole, found = 0.0, max(self._counts["read"], 1), []
        for key, name, tone, note in ends:
            count = self._counts[key]
            if not self._sends and key in {"delivered", "refused"}:
                continue
            width = 100 * count / whole
            found.append(
                {"name": name, "count": count, "tone": tone, "note": note, "x": at, "width": width}
            )
            at += width
        return found if self._sends else found[::-1]

    def _kept_marks(self) -> list[dict[str, Any]]:
        marks = [
            ("in_doubt", "in doubt", "an attempt of unknown outcome; sent again with the same id"),
            ("held", "held", "not sent again until you decide"),
        ]
        found = [
            {"count": self._marks[key], "name": name, "note": note}
            for key, name, note in marks
            if self._marks[key]
        ]
        verified = self._summary.get("verified")
        if verified and verified["failed_later"]:
            note = f"accepted, and named in the error records of {self._api}"
            found.append({"count": verified["failed_later"], "name": "failed later", "note": note})
        return found

    def _sum(self) -> str:
        counts = self._counts
        names = ("delivered", "rejected", "refused", "unsent")
        parts = " + ".join(f"{counts[n]:,} {'not sent' if n == 'unsent' else n}" for n in names)
        line = f"{counts['read']:,} read = {parts}."
        left = sum(r.load.identity.size - r.bytes_done for r in self._results)
        return f"{line} {size(left)} were not read yet." if left > 0 else line

    # -- what to do ------------------------------------------------------------------------

    def _steps(self) -> list[dict[str, Any]]:
        return [
            *self._step_of_error(),
            *self._step_of_cause(),
            *self._steps_of_rejects(),
            *self._steps_of_doubt(),
        ]

    def _step_of_error(self) -> Iterator[dict[str, Any]]:
        if self._summary["status"] in {"stopped", "interrupted"}:
            yield _step("Give the same command again: it goes on where it stopped.")
        elif not self._sends and self._counts["unsent"]:
            yield _step("Send it: the same command with run in place of check.")

    def _step_of_cause(self) -> Iterator[dict[str, Any]]:
        """One cause behind most rejects is mended at once, not row by row."""
        whole = sum(told.records for told in self._rejects.values())
        by_code: dict[str, int] = {}
        causes: dict[str, Cause] = {}
        for each in (cause for told in self._rejects.values() for cause in told.causes):
            by_code[each.code] = by_code.get(each.code, 0) + each.records
            causes.setdefault(each.code, each)
        if not by_code or whole < BINS:
            return
        code, count = max(by_code.items(), key=lambda item: item[1])
        if count * 2 < whole:
            return
        cause = causes[code]
        share = percent(count, whole)
        yield _step(
            f"{share} of what was turned away has one cause: {_plain(cause.message)}"
            f" {cause.fix or cause.hint} Rejects are judged again with --rejudge."
        )

    def _steps_of_rejects(self) -> Iterator[dict[str, Any]]:
        worst = max(self._results, key=self._turned_away, default=None)
        if (
            self._masked
            or worst is None
            or not self._turned_away(worst)
            or not worst.reports.get("rejects_xlsx")
        ):
            return
        book = str(worst.reports["rejects_xlsx"])
        lists = [self._relative(book), self._relative(str(worst.reports["rejects_csv"]))]
        others = sum(1 for each in self._results if self._turned_away(each)) - 1
        more = f" ({counted(others, 'more source')} below)" if others else ""
        yield _step(
            "Mend single values in the list of rejects: change the columns that _reject_columns"
            f" names, and keep _reject_id{more}. The workbook keeps zeros and long ids as they are:",
            links=lists,
        )
        if self._sends:
            command = f"ingest retry {shlex.quote(book)}{flags_for(worst.load.destination)}"
            yield _step(
                "Send what you mended; what was delivered is not sent again:", commands=[command]
            )

    def _steps_of_doubt(self) -> Iterator[dict[str, Any]]:
        if self._marks["held"]:
            run = self._summary["run_id"]
            flags = flags_for(self._results[-1].load.destination)
            commands = [f"ingest retry --doubt {wish} {run}{flags}" for wish in ("send", "drop")]
            yield _step(
                f"{counted(self._marks['held'], 'record')} wait for your decision: send them again,"
                " or give them up:",
                commands=commands,
            )
        if self._marks["in_doubt"]:
            lists = [
                self._relative(str(each.reports["doubt_csv"]))
                for each in self._results
                if each.reports.get("doubt_csv")
            ]
            yield _step(
                f"{counted(self._marks['in_doubt'], 'record')} may have arrived more than once, each"
                " time with the same event_uuid. Nothing need be done where repeats are dropped;"
                " they are listed:",
                links=lists[:_NOTES],
            )

    def _returned(self) -> list[tuple[str, int]]:
        """What became of the rows of a report that came back."""
        told: Mapping[str, Any] | None = self._summary.get("retry")
        if told is None:
            return []
        return [(OUTCOMES.get(name, name), count) for name, count in told["outcomes"].items()]

    def _verified(self) -> dict[str, Any] | None:
        """What `ingest verify` found, with links to its files."""
        told: Mapping[str, Any] | None = self._summary.get("verified")
        if told is None:
            return None
        files = [result.reports.get("failed_later_csv") for result in self._results]
        links = [self._relative(path) for path in files if path]
        return {**told, "when": _when(told["at"]), "files": links[:_TABLE], "api": self._api}

    # -- one source ------------------------------------------------------------------------

    def _turned_away(self, result: SourceResult) -> int:
        return result.counts.rejected + result.counts.refused

    def _source(self, result: SourceResult, causes: int, *, many: bool) -> dict[str, Any]:
        told = self._rejects.get(result.load.source_id)
        turned_away = self._turned_away(result)
        name = Path(result.load.path).name
        if turned_away:
            title = f"Why {counted(turned_away, 'record')} {_were(turned_away)} turned away"
        else:
            title = "No record was turned away"
        found = told.causes if told else ()
        rest = found[causes:]
        paths = [result.reports.get(kind) for kind in _KINDS_OF_FILES]
        return {
            "title": f"{name}: {title[0].lower()}{title[1:]}" if many else title,
            "lede": self._source_lede(result, found),
            "causes": [self._cause(cause) for cause in found[:causes]],
            "more_causes": len(rest),
            "more_records": sum(cause.records for cause in rest),
            "places": list(told.places if told else [0]),
            "places_label": _places_label(told.places if told else ()),
            "turned_away": max(turned_away, 1),
            "end": f"end, {size(result.load.identity.size)}",
            "files": [self._relative(str(path)) for path in paths if path],
        }

    def _source_lede(self, result: SourceResult, causes: Sequence[Cause]) -> str:
        turned_away, read = self._turned_away(result), result.counts.read
        parts = [result.load.path]
        if turned_away:
            parts.append(f"{percent(turned_away, read)} of {counted(read, 'record')}")
            parts.append(counted(len(causes), "cause"))
        if turned_away and len(causes) > 1:
            parts.append("a record may have several")
        return "; ".join(parts) + "."

    def _cause(self, cause: Cause) -> dict[str, Any]:
        known = self._texts.get(cause.code)
        one = cause.records == 1
        span = (
            f"line {cause.first_line:,}"
            if one
            else f"from line {cause.first_line:,} to line {cause.last_line:,}"
        )
        if cause.columns:
            span += f"; in {', '.join(cause.columns[:6])}"
        return {
            "code": cause.code,
            "message": known.message if known else cause.message or "A rule of your schema.",
            "hint": known.hint if known else cause.hint,
            "more": f"{_CODES_PAGE}#{cause.code}" if known else "",
            "records": cause.records,
            "tone": "refused" if known and known.stage == "api" else "rejected",
            "span": span,
            "remarks": cause.remarks,
            "fix": cause.fix,
            "spread": cause.records > 1,
            "places": list(cause.places),
            "places_label": _places_label(cause.places),
            "samples": cause.samples,
        }

    def _relative(self, path: str) -> str:
        return os.path.relpath(path, self._directory)

    def _table(self) -> list[dict[str, Any]]:
        names = ("read", "delivered", "rejected", "refused", "unsent")
        rows = []
        for result in sorted(self._results, key=lambda each: -self._turned_away(each)):
            counts = result.counts
            pairs = [(n if n != "unsent" else "not sent", getattr(counts, n)) for n in names]
            note = result.skipped or ("" if result.complete else "not complete")
            rows.append(
                {
                    "name": printable(result.load.path, most=_MOST_PATH),
                    "counts": pairs,
                    "note": note,
                }
            )
        return rows

    # -- events, times, warnings -----------------------------------------------------------

    def _events(self) -> tuple[list[dict[str, Any]], int]:
        passed = tally(s.findings.events for r in self._results for s in r.states)
        turned = tally(told.events for told in self._rejects.values())
        named = {name: passed.get(name, 0) for name in passed if name}
        ranked = sorted(named.items(), key=lambda item: -item[1])[:_EVENTS]
        seen = {name for name, _ in ranked}
        strangers = [(n, 0) for n, c in turned.items() if n and n not in passed][: _EVENTS // 3]
        rows = [
            {"name": name, "passed": count, "rejected": turned.get(name, 0)}
            for name, count in (*ranked, *strangers)
        ]
        return rows, sum(count for name, count in passed.items() if name not in seen)

    def _times(self) -> str:
        firsts = [first for r in self._results if (first := r.times[0])]
        lasts = [last for r in self._results if (last := r.times[1])]
        if not firsts:
            return ""
        return f"Times of the events: from {_when(min(firsts))} to {_when(max(lasts))}."

    def _warnings(self) -> list[dict[str, Any]]:
        found = []
        for code, count in list(self._summary["warnings"].items())[:_WARNINGS]:
            known = self._texts.get(code)
            found.append(
                {
                    "code": code,
                    "count": count,
                    "message": known.message if known else "A rule of your schema.",
                    "hint": known.hint if known else "",
                }
            )
        return found

    def _warned(self) -> str:
        what = "are sent" if self._sends else "would be sent"
        return (
            f"{counted(self._marks['warned'], 'record')} {what} with a warning: the API takes them,"
            " but may file a value differently from what was meant."
        )

    # -- requests --------------------------------------------------------------------------

    def _traffic(self) -> dict[str, Any] | None:
        line = self._timeline
        if line is None or line.first is None:
            return None
        most = max(sum(each.values()) for each in line.bins)
        requests = self._summary["requests"]
        key = [
            {"tone": tone, "text": f"{sum(each[kind] for each in line.bins):,} {text}"}
            for kind, (tone, text) in _TONES.items()
            if any(each[kind] for each in line.bins)
        ]
        return {
            "lede": (
                f"{counted(requests['sent'], 'request')}, {requests['retried']:,} of them repeated;"
                f" a column is {duration(line.width_s)}."
            ),
            "label": "; ".join(each["text"] for each in key),
            "bins": [_stack(each, most) for each in line.bins],
            "first": _clock(line.first),
            "last": _clock(line.last),
            "key": key,
            "pauses": [
                f"{_clock(pause.at)}: {duration(pause.seconds)}"
                + (f", after: {pause.note}" if self._telling(pause.note) else "")
                for pause in line.pauses
            ],
            "notes": [
                f"{count:,} times: {note}"
                for note, count in line.notes[:_NOTES]
                if note and not self._masked
            ],
        }

    def _telling(self, note: str) -> bool:
        return bool(note) and note != "accepted" and not self._masked

    # -- about -----------------------------------------------------------------------------

    def _about(self) -> list[tuple[str, str]]:
        summary = self._summary
        facts = [
            ("Run", summary["run_id"]),
            ("Begun", _when(summary["started_at"])),
            ("Endpoint", str(summary["destination"]["endpoint"])),
        ]
        if len(self._results) == 1:
            load = self._results[0].load
            facts += [
                ("Source", load.path),
                ("Bytes", f"{load.identity.size:,}"),
                ("Fingerprint", load.identity.fingerprint),
                ("Source id", str(load.source_id)),
                ("Configuration", load.config_digest),
            ]
        facts += [("Plan", text) for text in self._plan()]
        return facts

    def _plan(self) -> list[str]:
        return list(dict.fromkeys(self._summary["plan"].get("sends", ())))[:_NOTES]


_KINDS_OF_FILES: Final = ("rejects_xlsx", "rejects_csv", "rejects_jsonl", "doubt_csv")


def _step(text: str, *, links: Sequence[str] = (), commands: Sequence[str] = ()) -> dict[str, Any]:
    return {"text": text, "links": links, "commands": commands}


def _stack(counts: Mapping[str, int], most: int) -> list[dict[str, Any]]:
    """The rectangles of one column, from its foot."""
    at, rects = 24.0, []
    for kind in KINDS:
        if counts[kind]:
            height = 24 * counts[kind] / most
            at -= height
            rects.append({"tone": _TONES[kind][0], "y": at, "height": height})
    return rects


def _places_label(places: Sequence[int]) -> str:
    held = [place for place, count in enumerate(places) if count]
    if not held:
        return "none"
    first, last = held[0] * 100 // len(places), (held[-1] + 1) * 100 // len(places)
    return (
        f"rejects between {first} % and {last} % of the file, in {len(held)} of {len(places)} parts"
    )


def _plain(message: str) -> str:
    return message if message.endswith((".", "!", "?")) else f"{message}."


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _when(text: str) -> str:
    """An instant for a person, to the second."""
    try:
        when = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
