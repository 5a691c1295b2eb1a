"""The loads of a destination, found by content: each question is one look, however many there are.

A load is found by content, not by path. In this order:

1. the file was not touched since the ledger last saw it: the load it belongs to;
2. its whole content has a load here: the same source, whatever its path;
3. it begins with all that a load has seen, and goes on: that source has grown; but where the file
   of that load is still there under another path, these are two sources;
4. its path has a load, and none of these holds: it was changed, which is refused;
5. else it is new.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.config import RunConfig
from ingest.core.load import BLOCK_BYTES, Destination, Identity, Load
from ingest.edges.source import LocalFile, Seen
from ingest.edges.store import Store
from ingest.errors import MismatchError
from ingest.pipeline.sources import Opened, new_load


@dataclass(frozen=True, slots=True)
class Found:
    """What the ledger knows of a source.

    Args:
        load: Its load; with the number 0 where it is new.
        recorded: The same as the ledger has it; None where it is new.
        grown: It has grown since it was last seen.
        moved_from: The other path under which the same bytes were loaded; empty if none.
    """

    load: Load
    recorded: Load | None = None
    grown: bool = False
    moved_from: str = ""

    @property
    def new(self) -> bool:
        """Whether the ledger has never seen it."""
        return self.load.load_id == 0


class KnownLoads:
    """The loads of one destination, as the ledger has them.

    They are read once, and again when another process has written to the ledger.

    Args:
        store: The ledger.
        destination: Whose loads.
    """

    def __init__(self, store: Store, destination: Destination) -> None:
        self._store = store
        self._destination = destination
        self._version = store.version
        self._read()

    def _read(self) -> None:
        self._loads: dict[int, Load] = {}
        self._by_file: dict[tuple[str, int, int], set[int]] = defaultdict(set)
        self._by_content: dict[tuple[str, int, bytes], set[int]] = defaultdict(set)
        self._by_path: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._short: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._long: dict[tuple[str, bytes], set[int]] = defaultdict(set)
        for load in self._store.loads(self._destination):
            self.put(load)

    @property
    def stale(self) -> bool:
        """Whether another process has written to the ledger since the last question."""
        return self._version != self._store.version

    def put(self, load: Load) -> None:
        """Take in a load as it was recorded just now."""
        before = self._loads.pop(load.load_id, None)
        if before is not None:
            for numbers in self._places(before):
                numbers.discard(load.load_id)
        self._loads[load.load_id] = load
        for numbers in self._places(load):
            numbers.add(load.load_id)

    def _places(self, load: Load) -> Iterator[set[int]]:
        identity, name = load.identity, load.name
        yield self._by_file[name, identity.stat.device, identity.stat.inode]
        yield self._by_content[name, identity.size, identity.blocks]
        yield self._by_path[name, load.path]
        if identity.size < BLOCK_BYTES:
            yield self._short[name][identity.size]
        else:
            yield self._long[name, identity.blocks[:_DIGEST_BYTES]]

    def untouched(self, opened: Opened) -> Found | None:
        """Find the load of a file that nobody touched since it was last seen; nothing is read."""
        if self.stale:
            self._version = self._store.version
            self._read()
        file, name = opened.file, opened.input.name
        for load in self._among(self._by_file.get((name, file.stat.device, file.stat.inode))):
            if load.identity.stat.proves_unchanged(file.stat):
                file.recall(load.identity.size)
                return _known(file, load, load.identity)
        return None

    def find(self, opened: Opened, config: RunConfig, *, seen: Seen) -> Found:
        """Find the load of a source, or make one that is not recorded yet.

        Args:
            opened: The source.
            config: What decides its content, for a new load.
            seen: Called with the bytes hashed so far, where it must be hashed.

        Raises:
            MismatchError: The file at this path was changed since it was read.
        """
        if found := self.untouched(opened):
            return found
        file, name = opened.file, opened.input.name
        now = file.identity(seen=seen)
        for load in self._among(self._by_content.get((name, now.size, now.blocks))):
            return _known(file, load, replace(load.identity, stat=now.stat))
        for load in self._begun(file, name, now):
            if load.path == file.absolute or not Path(load.path).exists():
                was = load.identity
                grown = replace(now, first_size=was.first_size, fingerprint=was.fingerprint)
                return replace(_known(file, load, grown), grown=True)
        for load in self._among(self._by_path.get((name, file.absolute))):
            raise _changed(file, load)
        return Found(new_load(opened, config, now))

    def _among(self, numbers: set[int] | None) -> list[Load]:
        """Loads by number, the oldest first."""
        return [self._loads[number] for number in sorted(numbers or ())]

    def _begun(self, file: LocalFile, name: str, now: Identity) -> Iterator[Load]:
        """The loads whose whole content is the beginning of a file."""
        for load in self._among(self._long.get((name, now.blocks[:_DIGEST_BYTES]))):
            recorded = load.identity
            if recorded.size < now.size and file.prefix_matches(
                recorded.size, recorded.blocks, now=now.blocks
            ):
                yield load
        yield from self._begun_short(file, name, now)

    def _begun_short(self, file: LocalFile, name: str, now: Identity) -> Iterator[Load]:
        """Those of less than a block: the beginning is read once for all their sizes."""
        sizes = [size for size in sorted(self._short.get(name, ())) if 0 < size < now.size]
        if not sizes:
            return
        data = memoryview(file.read_raw(0, sizes[-1]))
        so_far, at = hashlib.sha256(), 0
        for size in sizes:
            so_far.update(data[at:size])
            at = size
            digest = so_far.digest()
            for load in self._among(self._short[name][size]):
                if load.identity.blocks == digest:
                    yield load


_DIGEST_BYTES = hashlib.sha256().digest_size


def _known(file: LocalFile, load: Load, identity: Identity) -> Found:
    elsewhere = load.path != file.absolute
    same_file = Path(load.path).exists() and elsewhere
    return Found(
        replace(load, identity=identity, path=load.path if same_file else file.absolute),
        recorded=load,
        moved_from=load.path if same_file else "",
    )


def _changed(file: LocalFile, load: Load) -> MismatchError:
    size, was = file.size, load.identity.size
    what = "is shorter than" if size < was else "was changed since"
    then = "when it was read" if size < was else "it was read"
    return MismatchError(
        f"{file.path} {what} {then} (run {load.run_id})",
        hint="put the original back, or send it as a load of its own: --as NAME",
        code="source_changed",
    )
