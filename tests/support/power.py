"""What a disk holds after a power cut, by the log of what was written to it.

POSIX promises no more than this: what was written to a file outlasts a cut once the file was
synced, a name once its directory was. Of the rest any part may be there, in any order: sectors of
a write, a rename without the content of what was renamed, the content without the name.
"""

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


@dataclass(slots=True)
class File:
    """A file: what is on the disk for sure, and what was done since."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes, and cuts to a size (no bytes), in their order."""


@dataclass(slots=True)
class Directory:
    """A directory: names that are on the disk for sure, and what was done since."""

    durable: dict[str, "Node"] = field(default_factory=dict)
    now: dict[str, "Node"] = field(default_factory=dict)
    pending: list[tuple[tuple[str, "Node | None"], ...]] = field(default_factory=list)
    """Changes of names; those of one rename go together or not at all."""


Node = File | Directory


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the log."""

    what: str
    inode: int
    offset: int
    path: Path
    other: Path
    data: bytes


def changes(journal: Path) -> Iterator[Change]:
    """Read a log."""
    with journal.open("rb") as file:
        while head := file.readline():
            what, inode, offset, size, path, other = os.fsdecode(head[:-1]).split("\t")
            data = file.read(int(size))
            yield Change(what, int(inode), int(offset), Path(path), Path(other), data)


class Disk:
    """A tree of files as a journal changes it.

    Args:
        root: Its top, which is there for sure, with all that is in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._nodes: dict[int, Node] = {}
        self._top = self._taken_in(root)

    def _taken_in(self, path: Path) -> Node:
        node: Node
        if path.is_dir():
            inside = {one.name: self._taken_in(one) for one in path.iterdir()}
            node = Directory(dict(inside), dict(inside))
        else:
            node = File(path.read_bytes())
        self._nodes[path.stat().st_ino] = node
        return node

    def _at(self, path: Path) -> Node:
        node = self._top
        for part in path.relative_to(self._root).parts:
            assert isinstance(node, Directory)
            node = node.now[part]
        return node

    def apply(self, change: Change) -> None:
        """Do what a line of the log says."""
        if change.what in {"create", "mkdir"}:
            node: Node = File() if change.what == "create" else Directory()
            self._nodes[change.inode] = node
            self._rename(change.path.parent, ((change.path.name, node),))
        elif change.what == "write":
            self._file(change).pending.append((change.offset, change.data))
        elif change.what == "truncate":
            self._file(change).pending.append((change.offset, None))
        elif change.what == "unlink":
            self._rename(change.path.parent, ((change.path.name, None),))
        elif change.what == "rename":
            assert change.path.parent == change.other.parent
            moved = self._at(change.path)
            pair = ((change.path.name, None), (change.other.name, moved))
            self._rename(change.path.parent, pair)
        else:
            self._sync(self._nodes[change.inode])

    def _file(self, change: Change) -> File:
        node = self._nodes[change.inode]
        assert isinstance(node, File)
        return node

    def _rename(self, parent: Path, change: tuple[tuple[str, Node | None], ...]) -> None:
        directory = self._at(parent)
        assert isinstance(directory, Directory)
        directory.pending.append(change)
        _renamed(directory.now, change)

    def _sync(self, node: Node) -> None:
        if isinstance(node, File):
            node.durable = _written(node.durable, node.pending)
        else:
            node.durable = dict(node.now)
        node.pending.clear()

    def cut(self, chance: "Chance") -> None:
        """Replace the tree by what is left of it."""
        shutil.rmtree(self._root)
        self._lay(self._root, self._top, chance)

    def _lay(self, path: Path, node: Node, chance: "Chance") -> None:
        if isinstance(node, File):
            path.write_bytes(chance.content(node))
            path.chmod(0o600)
            return
        path.mkdir(mode=0o700)
        for name, inside in chance.names(node).items():
            self._lay(path / name, inside, chance)


class Chance:
    """What of the unsynced changes a cut lets through.

    Args:
        how: `nothing`; `names`: changes of names, not of files; `content`: the other way round;
            `some`: sectors and names by lot.
        seed: Of the lot.
    """

    WAYS = ("nothing", "names", "content", "some")

    def __init__(self, how: str, *, seed: int = 0) -> None:
        self._how = how
        self._lot = random.Random(seed)

    def _kept(self, kind: str) -> bool:
        return self._lot.random() < 0.5 if self._how == "some" else self._how == kind

    def names(self, directory: Directory) -> dict[str, Node]:
        """The names that a directory is left with."""
        names = dict(directory.durable)
        for change in directory.pending:
            if self._kept("names"):
                _renamed(names, change)
        return names

    def content(self, file: File) -> bytes:
        """The content that a file is left with."""
        left: list[tuple[int, bytes | None]] = []
        for offset, data in file.pending:
            if data is None or self._how != "some":
                left += [(offset, data)] if self._kept("content") else []
                continue
            pieces = _sectors(offset, data)
            whole = self._lot.random() < 0.5
            left += [piece for piece in pieces if whole or self._lot.random() < 0.5]
        return _written(file.durable, left)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        stop = min(len(data), at + SECTOR - (offset + at) % SECTOR)
        yield offset + at, data[at:stop]
        at = stop


def _renamed(names: dict[str, Node], change: tuple[tuple[str, Node | None], ...]) -> None:
    for name, node in change:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _written(content: bytes, pending: list[tuple[int, bytes | None]]) -> bytes:
    made = bytearray(content)
    for offset, data in pending:
        if data is None:
            del made[offset:]
            made.extend(bytes(offset - len(made)))
        else:
            made.extend(bytes(max(0, offset - len(made))))
            made[offset : offset + len(data)] = data
    return bytes(made)
