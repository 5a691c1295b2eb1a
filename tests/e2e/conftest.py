"""What end-to-end tests share: a working directory of their own, and servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deadly import Nursery
from tests.support.workdir import ExternalSandbox, Server, Workdir

KEY = "event-key-0123456789"


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that has imported the command and forks for each run of it."""
    with Nursery("plain") as made:
        yield made


@pytest.fixture
def work(tmp_path: Path, nursery: Nursery) -> Workdir:
    """A working directory with a state and a key of its own."""
    return Workdir(tmp_path, {"INGEST_API_KEY": KEY}, nursery)


@pytest.fixture
def installed(tmp_path: Path) -> Workdir:
    """The same; each command is a new interpreter, as from a shell."""
    return Workdir(tmp_path, {"INGEST_API_KEY": KEY})


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One external sandbox without a limit, for the whole session."""
    store = tmp_path_factory.mktemp("server") / "server.sqlite3"
    with ExternalSandbox(store, "--rate", "0") as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """That sandbox, empty and without faults."""
    shared_server.clear()
    shared_server.set_faults()
    return shared_server
