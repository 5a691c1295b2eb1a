"""`--finish-by`: a run that stops in order at a time, and goes on by the same command."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from ingest.config import FinishBy, Input, Settings, resolve
from ingest.pipeline.run import run_command
from tests.support.workdir import Server, Workdir, assert_accounted, some


class Soon(FinishBy):
    """A time of day that is three seconds away."""

    def after(self, now: datetime) -> datetime:
        return now + timedelta(seconds=3)


def test_a_run_stops_in_order_at_its_time(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is under way is finished, nothing is in doubt, exit 4; the next run ends the load."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    work = Workdir(tmp_path)
    source = work.source(some(400))
    settings = Settings(
        inputs=(Input(paths=(str(source.path),)),),
        url=server.url,
        rate=10,
        batch_size=5,
        state=str(tmp_path / "ledger"),
    )
    config = resolve(settings, environ={"INGEST_API_KEY": "event-key"}, sends=True)

    first = run_command(replace(config, finish_by=Soon(6, 0)), as_json=False)
    said = capsys.readouterr().err
    second = run_command(replace(config, rate=None), as_json=False)

    assert (first["exit_code"], first["error"]["code"]) == (4, "finish_by")
    assert first["of_which"]["in_doubt"] == 0
    assert 0 < first["records"]["delivered"] < 400
    assert first["reason"].startswith("it is 06:00")
    assert "events of 400 go before 06:00" in said
    assert second["exit_code"] == 0
    assert_accounted(work, source, second, server)
    assert set(server.times().values()) == {1}
