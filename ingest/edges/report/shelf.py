"""A directory of reports: what stands there is replaced only if it is ours and untouched.

`.ingest-report` lists, for each file that was put there, the SHA-256 of what is to stand there and
of what it replaces. A file is ours when it is an ordinary file, has one name, and has one of these. Whatever
else stands at a name - a file of someone else, a report that was mended by hand, a link - is left
alone, and the report is written beside it: `rejects-2.csv`, `rejects-3.csv` ... The list is
written before the files are renamed, so that no crash between the two makes one foreign.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from ingest.core.guard import printable
from ingest.edges.report.durable import (
    PRIVATE,
    Draft,
    Written,
    doing,
    drafting,
    plain_name,
    private_directory,
    sync_directory,
)
from ingest.errors import UsageError

_MANIFEST: Final = ".ingest-report"
_MOST_MANIFEST: Final = 1 << 20
_MOST_BESIDE: Final = 1000
_MOST_STEM: Final = 80  # bytes; a file name has 255, and a number goes before it
_HASH: Final = re.compile("[0-9a-f]{64}")


def safe_stem(path: str) -> str:
    """A part of a directory name, from the name of any source.

    Letters and digits of any script, `-`, `_` and `.` stay; the rest becomes `_`. Never empty,
    never begins or ends with a dot, at most 80 bytes of UTF-8. Not unique. Total.
    """
    name = PurePosixPath(path.rstrip("/")).stem if path.strip("/.-") else ""
    composed = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode("utf-8"))
    kept = "".join(each if each.isalnum() or each in "-_." else "_" for each in composed)
    short = kept.strip(".-").encode("utf-8")[:_MOST_STEM].decode("utf-8", "ignore")
    return short.rstrip(".-") or "source"


def report_directory(root: Path, *parts: str, mode: int = PRIVATE) -> Path:
    """Make the directory for reports, private, where it is not there yet.

    Proves that reports can be written, so that a run can ask before it sends anything.

    Args:
        root: Where the user wants reports; may be a symbolic link.
        parts: Names below it; each must be a directory, not a link to one.
        mode: Of the reports to be in it; who may read those may enter.

    Raises:
        UsageError: One of them is something else, or holds a list of files that is not ours.
        StoppedError: The operating system refused.
    """
    path = root
    with doing("create", root):
        made = [path for path in (root, *root.absolute().parents) if not path.exists()]
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for each in made:
        sync_directory(each.absolute().parent)
    for part in parts:
        path /= plain_name(part)
        private_directory(path, mode=mode)
    Shelf(path).prove()
    return path


def digests_listed(directory: Path) -> dict[str, str]:
    """Give the SHA-256 of each report that was put into a directory, by its name, as `sha256:...`.

    None of a directory that holds no list, or one that is not ours.
    """
    try:
        known = _read_manifest(directory / _MANIFEST)
    except UsageError:
        return {}
    return {name: f"sha256:{hashes[0]}" for name, hashes in known.items() if hashes}


def write_document(path: Path, content: bytes, *, mode: int = PRIVATE) -> Path:
    """Write one report whole; gives where it stands, which is beside a foreign file.

    Raises:
        UsageError: The directory holds a list of files that is not ours.
        StoppedError: The operating system refused.
    """
    shelf = Shelf(path.parent)
    with drafting(path.parent, path.name, mode=mode) as draft:
        draft.file.write(content)
        return shelf.publish({path.name: (draft, draft.settle())})[path.name]


def write_table(
    path: Path, header: Sequence[str], rows: Iterable[Sequence[str]], *, mode: int = PRIVATE
) -> Path:
    """Write a table as CSV (UTF-8 with BOM, commas, CRLF) whole; gives where it stands.

    Args:
        path: Its name and place.
        header: Names of the columns.
        rows: Cells, guarded already where they may be formula-like; memory does not grow with them.
        mode: Of the file, whatever the umask.

    Raises:
        UsageError: The directory holds a list of files that is not ours.
        StoppedError: The operating system refused.
    """
    shelf = Shelf(path.parent)
    with drafting(path.parent, path.name, mode=mode) as draft:
        text = io.TextIOWrapper(draft.file, "utf-8-sig", "backslashreplace", newline="")
        table = csv.writer(text, lineterminator="\r\n")
        table.writerow(header)
        table.writerows(rows)
        text.flush()
        text.detach()
        return shelf.publish({path.name: (draft, draft.settle())})[path.name]


def write_summary(path: Path, summary: Mapping[str, object], *, mode: int = PRIVATE) -> Path:
    """Write `summary.json`: UTF-8, two spaces a level, the given order, a newline at the end.

    Raises:
        UsageError: The directory holds a list of files that is not ours.
        StoppedError: The operating system refused.
    """
    text = json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Of a lone surrogate, as a file name may have, this makes the escape that JSON knows.
    return write_document(path, text.encode("utf-8", "backslashreplace"), mode=mode)


class Shelf:
    """The reports of one directory.

    Raises:
        UsageError: The directory holds a list of files that is not ours.
        StoppedError: The operating system refused.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known = _read_manifest(directory / _MANIFEST)

    def prove(self) -> None:
        """Write the list of files, to see that the directory can be written."""
        self._write_manifest()

    def publish(self, drafts: Mapping[str, tuple[Draft, Written]]) -> dict[str, Path]:
        """Put settled files to their names, or beside what is not ours.

        Args:
            drafts: By the name that each is to have.

        Returns:
            Where each stands.

        Raises:
            StoppedError: The operating system refused; each file is then the old or the new one.
        """
        places = {name: self._place(name) for name in drafts}
        for name, place in places.items():
            # What stands there, not what was listed last: that may never have got its name.
            held = _hash_of(self._directory / place)
            self._known[place] = (drafts[name][1].sha256, *((held,) if held else ()))
        self._write_manifest()
        paths = {name: drafts[name][0].publish(name=place) for name, place in places.items()}
        sync_directory(self._directory)
        for name, place in places.items():
            self._withdraw(_family(name, self._known) - {place})
        return paths

    def withdraw(self, name: str) -> None:
        """Remove a report that does not hold any more; a foreign file of that name stays.

        Raises:
            StoppedError: The operating system refused.
        """
        self._withdraw(_family(name, self._known))

    def _withdraw(self, names: set[str]) -> None:
        gone = [name for name in sorted(names) if self._is_ours(name)]
        for name in gone:
            path = self._directory / name
            with doing("remove", path):
                path.unlink()
        if gone:
            sync_directory(self._directory)

    def _place(self, name: str) -> str:
        for place in _beside(name):
            if self._is_ours(place) or not os.path.lexists(self._directory / place):
                return place
        raise UsageError(
            f"{printable(str(self._directory / name))} and {_MOST_BESIDE} files beside it are not "
            "reports of this program, or were edited",
            hint="move them away, or choose another place with --report-dir",
            code="report_directory",
        )

    def _is_ours(self, name: str) -> bool:
        hashes = self._known.get(name, ())
        return bool(hashes) and _hash_of(self._directory / name) in hashes

    def _write_manifest(self) -> None:
        text = json.dumps({"format": 1, "files": self._known}, indent=2)
        with drafting(self._directory, _MANIFEST) as draft:
            draft.file.write(text.encode("ascii") + b"\n")
            draft.settle()
            draft.publish()
        sync_directory(self._directory)


def _beside(name: str) -> Iterator[str]:
    path = Path(name)
    yield name
    for number in range(2, _MOST_BESIDE + 2):
        yield f"{path.stem}-{number}{path.suffix}"


def _family(name: str, known: Mapping[str, Sequence[str]]) -> set[str]:
    path = Path(name)
    form = re.compile(rf"{re.escape(path.stem)}(-[0-9]+)?{re.escape(path.suffix)}")
    return {each for each in known if form.fullmatch(each)}


def _hash_of(path: Path) -> str | None:
    """The hash of an ordinary file that has one name; None for anything else, or nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
            return None
        with contextlib.suppress(OSError):
            return hashlib.file_digest(file, "sha256").hexdigest()
    return None


def _read_manifest(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _foreign_list(path) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            return _parse_manifest(file.read(_MOST_MANIFEST + 1))
    except (OSError, ValueError, RecursionError) as error:
        raise _foreign_list(path) from error


def _parse_manifest(content: bytes) -> dict[str, tuple[str, ...]]:
    if len(content) > _MOST_MANIFEST:
        raise ValueError("too long")
    value = json.loads(content)
    match value:
        case {"format": 1, "files": {**files}}:
            return {str(name): _hashes(str(name), hashes) for name, hashes in files.items()}
    raise ValueError("another format")


def _hashes(name: str, hashes: object) -> tuple[str, ...]:
    if not isinstance(hashes, list) or not all(
        isinstance(each, str) and _HASH.fullmatch(each) for each in hashes
    ):
        raise ValueError(f"{name}: not a list of hashes")
    return tuple(hashes)


def _foreign_list(path: Path) -> UsageError:
    return UsageError(
        f"{printable(str(path))} is not a list of reports that this program wrote",
        hint="remove it, or choose another place with --report-dir",
        code="report_directory",
    )
