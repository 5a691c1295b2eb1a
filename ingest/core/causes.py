"""What the rejects of a source have in common: by code, where they lie, and the likely reason.

One pass, bounded memory. The values of a code fall into groups by their look; a remark is made of
each group that is worth it, and says how many: "All 812 end in a full stop. They begin at line
40,112." Nothing is said of what holds for a few.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from ingest.core.model import Reject, Violation

BINS: Final = 100
"""Parts of a source for which rejects are counted."""

SAMPLES: Final = 3
_MOST_SHOWN: Final = 160  # characters of a value in a sample
_MOST_NAMES: Final = 256  # distinct values that are counted; the rest is "others"
_FEW: Final = 3  # of fewer records nothing is said in common
_MOSTLY: Final = 0.9
_LATE: Final = 0.05  # of the source without any: worth to be said
_EXPECTED: Final = 20  # records that would be there if they were spread evenly
_MOST_GROUPS: Final = 32  # kinds of look of one code
_SHOWN_GROUPS: Final = 3
_GROUP: Final = 0.1  # of the values: worth to be said
_MOST_TEXTS: Final = 8  # distinct values of a group
_MOST_KNOWN: Final = 4096  # values of which the look is kept

_CELLS: Final = re.compile(r"\b([0-9]+) cells?\b")
_LATIN: Final = re.compile(r"[^\x00-\x7f]+")

Holds = Callable[[str, str], bool]
"""Whether a feature holds for a value of a column."""


def _form(pattern: str) -> Holds:
    matches = re.compile(pattern).fullmatch
    return lambda value, _: matches(value) is not None


_REFUSED: Final = "api_refused"
_EMPTY: Final = "{are} empty"
_FEATURES: Final[dict[str, Holds]] = {
    _EMPTY: lambda value, _: not value,
    "{hold} the name of the column itself: a header in the middle": lambda v, c: v == c,
    "{end} in a full stop": lambda value, _: value.endswith("."),
    "{begin} with a blank": lambda value, _: value[:1].isspace(),
    "{end} with a blank": lambda value, _: value[-1:].isspace(),
    "{have} a no-break space": lambda value, _: "\u00a0" in value,
    "{have} a blank between words": _form(r"\S+(?: \S+)+"),
    "{are} whole numbers": _form(r"[0-9]+"),
    "{are} numbers with a decimal point": _form(r"[0-9]+\.[0-9]+"),
    "{read} like mail addresses": _form(r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "{read} like dates": _form(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].*)?|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}"),
    "{read} like web addresses": _form(r"(?:https?://|www\.)\S+|/\S*"),
    "{are} in quotes of their own": _form(r"""(['"]).*\1|“.*”"""),
    "{hold} a whole row: the separator may be another one": _form(r"[^;\t|]*(?:[;\t|][^;\t|]*){3,}"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One reject to look at.

    Args:
        record: Counted from 1.
        line: Physical line on which it begins, from 1.
        column: The column concerned; empty where the whole record is.
        value: What stands there, cut; None: nothing.
        cut: Characters left out.
        suggested: A mended value; empty without.
        message: What the API or the reader said of this one; empty where all say the same.
    """

    record: int
    line: int
    column: str
    value: str | None
    cut: int
    suggested: str
    message: str


@dataclass(frozen=True, slots=True)
class Cause:
    """All rejects of one code.

    Args:
        code: The reason code.
        records: How many have it.
        message: What is wrong, as the first of them says.
        hint: How to mend it, likewise.
        first_line: Physical line of the first, from 1.
        last_line: Likewise of the last.
        columns: The columns concerned, the most frequent first.
        remarks: What they have in common, as sentences.
        fix: What would mend all at once; empty where nothing is known.
        samples: The first few, of different values where there are some.
        places: How many begin in each of `BINS` equal parts of the source.
    """

    code: str
    records: int
    message: str
    hint: str
    first_line: int
    last_line: int
    columns: tuple[str, ...]
    remarks: tuple[str, ...]
    fix: str
    samples: tuple[Sample, ...]
    places: tuple[int, ...]


@dataclass(slots=True)
class _Tally:
    """Counts of names, bounded: what comes late and new is counted with the others."""

    names: dict[str, int] = field(default_factory=dict)
    others: int = 0

    def add(self, name: str) -> None:
        if name in self.names or len(self.names) < _MOST_NAMES:
            self.names[name] = self.names.get(name, 0) + 1
        else:
            self.others += 1

    def top(self) -> list[tuple[str, int]]:
        return sorted(self.names.items(), key=lambda item: -item[1])


@dataclass(slots=True)
class _Stretch:
    """Where some records of a code lie."""

    first: Reject
    last: Reject
    records: int = 0
    runs: int = 0

    def add(self, reject: Reject) -> None:
        self.runs += not self.records or reject.record != self.last.record + 1
        self.records += 1
        self.last = reject


@dataclass(slots=True)
class _Group:
    """Values of one look."""

    stretch: _Stretch
    texts: dict[str, int] = field(default_factory=dict)

    def add(self, reject: Reject, text: str) -> None:
        self.stretch.add(reject)
        if text in self.texts or len(self.texts) < _MOST_TEXTS:
            self.texts[text] = self.texts.get(text, 0) + 1

    @property
    def only(self) -> str | None:
        """The one text that all have, if there is one."""
        (text, count), *_ = self.texts.items()
        return text if count == self.stretch.records else None


@dataclass(slots=True)
class _Found:
    """What is known of one code."""

    message: str
    hint: str
    stretch: _Stretch
    places: list[int]
    values: int = 0
    groups: dict[tuple[str, ...], _Group] = field(default_factory=dict)
    columns: _Tally = field(default_factory=_Tally)
    events: _Tally = field(default_factory=_Tally)
    said: _Tally = field(default_factory=_Tally)
    widths: _Tally = field(default_factory=_Tally)
    letters: _Tally = field(default_factory=_Tally)
    samples: list[Sample] = field(default_factory=list)
    alike: list[Sample] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)


class Causes:
    """Counts rejects by cause as they go by.

    Args:
        header: The columns of the source.
        event_columns: Those that hold the name of the event; may be none.
        first_offset: Where its records begin.
        size: Bytes of the source.
        suggest: Gives a mended value for a reject.
        mask: Makes values unreadable; None: they are shown.
    """

    def __init__(
        self,
        header: Sequence[str],
        *,
        event_columns: Sequence[str],
        first_offset: int,
        size: int,
        suggest: Callable[[Reject], str],
        mask: Callable[[str], str] | None = None,
    ) -> None:
        self._places = {name: place for place, name in enumerate(header)}
        self._event = [self._places[name] for name in event_columns if name in self._places]
        self._first = first_offset
        self._span = max(size - first_offset, 1)
        self._suggest = suggest
        self._mask = mask
        self._found: dict[str, _Found] = {}
        self._events = _Tally()
        self._looks: dict[tuple[str, str], tuple[str, ...]] = {}
        self.places = [0] * BINS
        self.records = 0

    def watch(self, rejects: Iterable[Reject]) -> Iterator[Reject]:
        """Give rejects on, and count them."""
        for reject in rejects:
            self.add(reject)
            yield reject

    @property
    def events(self) -> dict[str, int]:
        """Rejects by the event that they name; under the empty name those that name none."""
        return {} if self._mask else dict(self._events.top())

    def add(self, reject: Reject) -> None:
        """Take in one reject; they come in the order of their records."""
        self.records += 1
        place = min(max((reject.offset - self._first) * BINS // self._span, 0), BINS - 1)
        self.places[place] += 1
        event = self._event_of(reject)
        self._events.add(event)
        for code in dict.fromkeys(each.code for each in reject.violations):
            mine = [each for each in reject.violations if each.code == code]
            self._count(code, mine, reject, event, place)

    def causes(self, *, read: int) -> list[Cause]:
        """Give the causes, the most frequent first.

        Args:
            read: Records of the source that were read.
        """
        ranked = sorted(self._found.items(), key=lambda item: (-item[1].stretch.records, item[0]))
        return [_cause(code, found, read, self._mask or str) for code, found in ranked]

    # -- one reject ------------------------------------------------------------------------

    def _event_of(self, reject: Reject) -> str:
        if reject.cells is None:
            return ""
        return next((cell for at in self._event if (cell := reject.cells[at])), "")

    def _count(
        self, code: str, mine: Sequence[Violation], reject: Reject, event: str, place: int
    ) -> None:
        found = self._found.get(code)
        if found is None:
            first = mine[0]
            stretch = _Stretch(reject, reject)
            message = "" if self._mask else first.message
            found = self._found[code] = _Found(message, first.hint, stretch, [0] * BINS)
        found.stretch.add(reject)
        found.places[place] += 1
        if event:
            found.events.add(event)
        column, value = self._value(mine, reject)
        if column:
            found.columns.add(column)
        if reject.cells is None and reject.raw is not None:
            self._count_raw(found, mine, reject.raw)
        elif value is not None:
            self._count_value(found, column, value[:_MOST_SHOWN], reject)
        else:
            found.said.add(mine[0].message)
        self._sample(found, mine, reject, column, value)

    def _value(self, mine: Sequence[Violation], reject: Reject) -> tuple[str, str | None]:
        """The first column concerned that holds anything, and what it holds."""
        names = [name for each in mine for name in each.columns]
        if reject.cells is None:
            text = None if reject.raw is None else reject.raw.decode("utf-8", "backslashreplace")
            return names[0] if names else "", text
        known = [name for name in names if name in self._places]
        if not known:
            return names[0] if names else "", None
        cells = [(name, reject.cells[self._places[name]] or "") for name in known]
        return next(((name, cell) for name, cell in cells if cell), cells[0])

    def _count_value(self, found: _Found, column: str, value: str, reject: Reject) -> None:
        found.values += 1
        look = self._looks.get((column, value))
        if look is None:
            look = tuple(text for text, holds in _FEATURES.items() if holds(value, column))
            if len(self._looks) < _MOST_KNOWN:
                self._looks[column, value] = look
        group = found.groups.get(look)
        if group is None:
            if len(found.groups) >= _MOST_GROUPS:
                return
            group = found.groups[look] = _Group(_Stretch(reject, reject))
        group.add(reject, value)

    def _count_raw(self, found: _Found, mine: Sequence[Violation], raw: bytes) -> None:
        width = _CELLS.search(mine[0].message)
        if width:
            found.widths.add(width[1])
        if mine[0].code == "utf8_invalid" and not self._mask:
            for letters in _LATIN.findall(raw.decode("cp1252", "replace"))[:8]:
                found.letters.add(letters)

    def _sample(
        self,
        found: _Found,
        mine: Sequence[Violation],
        reject: Reject,
        column: str,
        value: str | None,
    ) -> None:
        shown = (value or "")[:_MOST_SHOWN]
        # Others of the same look are shown only where there is nothing better.
        into = found.alike if shown in found.shown else found.samples
        if len(into) >= SAMPLES or len(found.samples) >= SAMPLES:
            return
        found.shown.add(shown)
        message = mine[0].message
        into.append(
            Sample(
                record=reject.record,
                line=reject.line,
                column=column,
                value=None if value is None else (self._mask or str)(shown),
                cut=max(len(value or "") - _MOST_SHOWN, 0),
                suggested="" if self._mask else self._suggest(reject)[:_MOST_SHOWN],
                message="" if self._mask or message == found.message else message,
            )
        )


# -- sentences -------------------------------------------------------------------------------


def _cause(code: str, found: _Found, read: int, shown: Callable[[str], str]) -> Cause:
    stretch = found.stretch
    remarks, fix = _remarks(code, found, read, shown) if stretch.records >= _FEW else ([], "")
    samples = [*found.samples, *found.alike]
    return Cause(
        code=code,
        records=stretch.records,
        message=found.message,
        hint=found.hint,
        first_line=stretch.first.line,
        last_line=stretch.last.line,
        columns=tuple(name for name, _ in found.columns.top()),
        remarks=tuple(remarks),
        fix=fix,
        samples=tuple(sorted(samples[:SAMPLES], key=lambda sample: sample.record)),
        places=tuple(found.places),
    )


def _remarks(
    code: str, found: _Found, read: int, shown: Callable[[str], str]
) -> tuple[list[str], str]:
    """What the records of a code have in common, and what would mend them all."""
    groups = list(_by_look(code, found, read, shown))
    shape, fix = _shape(code, found)
    one = len(found.groups) == 1
    fix = fix or (_fix(code, found) if one and shown is str else "")
    # The place of the only group is that of the code.
    where = [] if groups and not one else list(_where(found.stretch, read))
    return [*shape, *groups, *_by_event(found, shown), *where], fix


def _shape(code: str, found: _Found) -> tuple[list[str], str]:
    """What broken or refused records look like."""
    records = found.stretch.records
    if found.letters.names:
        letters = ", ".join(name for name, _ in found.letters.top()[:4])
        return (
            [f"Read as Windows-1252, the bytes in question are {letters}."],
            "If that is what they should be: run again with --encoding cp1252 --as NAME.",
        )
    width = _most(found.widths, records)
    if width is not None:
        name, count = width
        return [f"{_share(count, records)} have {name} cell{'' if name == '1' else 's'}."], ""
    alike = _most(found.said, records)
    if alike is not None and code == _REFUSED:
        return [f"{_share(alike[1], records)} were answered alike."], ""
    return [], ""


def _by_look(code: str, found: _Found, read: int, shown: Callable[[str], str]) -> Iterator[str]:
    """What groups of values look like, the largest first, and where each lies."""
    ranked = sorted(found.groups.items(), key=lambda item: -item[1].stretch.records)
    for look, group in ranked[:_SHOWN_GROUPS]:
        count = group.stretch.records
        said = _said_of(code, look, group, shown)
        if said and count >= max(_FEW, found.values * _GROUP):
            where = "" if len(ranked) == 1 else " ".join(("", *_where(group.stretch, read)))
            yield f"{_share(count, found.values)} {said}.{where}"


def _said_of(code: str, look: tuple[str, ...], group: _Group, shown: Callable[[str], str]) -> str:
    if group.only:
        return f"hold “{shown(group.only)}”"
    texts = [text for text in look if text != _EMPTY or not code.endswith("_missing")]
    return " and ".join(text.replace("{", "").replace("}", "") for text in texts[:2])


def _fix(code: str, found: _Found) -> str:
    if not found.groups:
        return ""
    (group,) = found.groups.values()
    if "placeholder" in code and group.only:
        return f"If it stands for nothing: --null '{group.only}'."
    return ""


def _share(count: int, whole: int) -> str:
    return f"All {whole:,}" if count == whole else f"{count:,} of {whole:,}"


def _most(tally: _Tally, whole: int) -> tuple[str, int] | None:
    """The name that nearly all have, if there is one."""
    if whole < _FEW or not tally.names:
        return None
    name, count = tally.top()[0]
    return (name, count) if count >= whole * _MOSTLY else None


def _by_event(found: _Found, shown: Callable[[str], str]) -> Iterator[str]:
    one = _most(found.events, found.stretch.records)
    texts = {text for group in found.groups.values() for text in group.texts}
    if one is not None and one[0] not in texts:
        yield f"{_share(one[1], found.stretch.records)} are “{shown(one[0])}” events."


def _where(stretch: _Stretch, read: int) -> Iterator[str]:
    first, last = stretch.first, stretch.last
    if stretch.runs == 1 and stretch.records >= _FEW:
        yield f"They are one unbroken run, from line {first.line:,} to line {last.line:,}."
        return
    density = stretch.records / (last.record - first.record + 1)
    before, after = first.record - 1, read - last.record
    if before > read * _LATE and before * density >= _EXPECTED:
        yield f"They begin at line {first.line:,}; the {before:,} records before it have none."
    if after > read * _LATE and after * density >= _EXPECTED:
        yield f"They end at line {last.line:,}; the {after:,} records after it have none."
