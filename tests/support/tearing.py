"""A ledger that is cut or altered between two runs, and what the second makes of it."""

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.crashing import KILLED, Bench
from tests.support.deadly import Point
from tests.support.workdir import assert_accounted

BEGUN = Point("receive", "server", 16, "after")
"""Where a run is killed so that every kind of file is there, some of it not yet checkpointed."""
FOUND = 5


@dataclass(frozen=True, slots=True)
class Damage:
    """What is done to a file: `size` bytes of it are left, or bits of a byte are flipped."""

    file: str
    size: int | None = None
    at: int = 0
    bits: int = 0

    def __str__(self) -> str:
        what = f"cut to {self.size}" if self.size is not None else f"byte {self.at} ^ {self.bits}"
        return f"{self.file}: {what}"

    def do(self, path: Path) -> None:
        """Do it."""
        content = bytearray(path.read_bytes())
        if self.size is not None:
            del content[self.size :]
        else:
            content[self.at] ^= self.bits
        path.write_bytes(content)


class Torn:
    """A state to tear, again and again.

    Args:
        bench: With a nursery that can kill.
        finished: The load is complete; else it was killed half way.
    """

    def __init__(self, bench: Bench, *, finished: bool) -> None:
        self._bench = bench
        self._finished = finished
        self._work = bench.begin(f"torn-{'finished' if finished else 'begun'}")
        code = bench.run(self._work, at=None if finished else BEGUN).code
        assert code == (3 if finished else KILLED)
        self._kept = bench.root / f"{self._work.root.name}-kept"
        shutil.copytree(self._work.root, self._kept)
        self._held = bench.server.kept()

    def files(self) -> dict[str, bytes]:
        """The files that are torn, and what they hold."""
        state = self._work.state
        forms = ("ledger.sqlite3", "ledger.sqlite3-wal", "ledger.witness", "segments/*/*/*.jsonl")
        paths = [path for form in forms for path in sorted(state.glob(form))]
        return {str(path.relative_to(state)): path.read_bytes() for path in paths}

    def tear(self, damage: Damage) -> bool:
        """Damage a fresh copy and run; give whether the damage was found.

        Raises:
            AssertionError: It was neither found nor harmless.
        """
        self._restore()
        damage.do(self._work.state / damage.file)
        before = self._bench.server.requests()
        done = self._bench.run(self._work)
        assert "Traceback" not in done.err, done.err[-1500:]
        assert done.code in {3, FOUND}, f"exit code {done.code}: {done.err[-500:]}"
        if done.code == 3:
            self._settled(done.summary)
            assert not self._finished or self._bench.server.requests() == before
            return False
        assert done.summary["error"]["hint"]
        if damage.file.startswith("segments/"):
            # Rejects are read when they are reported: what was sent before is in the ledger.
            shutil.copyfile(self._kept_file(damage.file), self._work.state / damage.file)
        else:
            assert self._bench.server.requests() == before, "it sent before it found the damage"
            self._restore(server=False)
        again = self._bench.run(self._work)
        assert again.code == 3, again.err[-500:]
        self._settled(again.summary)
        return True

    def _kept_file(self, name: str) -> Path:
        return self._kept / (self._work.state / name).relative_to(self._work.root)

    def _settled(self, summary: dict[str, Any]) -> None:
        assert_accounted(self._work, self._bench.source, summary, self._bench.server)
        assert summary["sources"][0]["complete"]
        assert self._bench.server.bodies() == self._bench.reference

    def _restore(self, *, server: bool = True) -> None:
        shutil.rmtree(self._work.root)
        shutil.copytree(self._kept, self._work.root)
        if server:
            self._bench.server.restore(self._held)


def damages(files: dict[str, bytes], *, each: int, seed: int) -> Iterator[Damage]:
    """Cuts and flipped bits all over some files.

    Args:
        files: What they hold; bits are flipped where that is not nothing.
        each: How many of both for each file.
        seed: Of the lot.
    """
    lot = random.Random(seed)
    for file, content in files.items():
        size, used = len(content), [at for at, byte in enumerate(content) if byte]
        sizes = [0, size - 1, size // 2, *(lot.randrange(size) for _ in range(each))]
        yield from (Damage(file, size=each_size) for each_size in sizes[:each])
        for _ in range(each):
            yield Damage(file, at=lot.choice(used), bits=1 << lot.randrange(8))
