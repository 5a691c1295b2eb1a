"""A file of metrics for node-exporter's textfile collector; needs the extra `metrics`."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ingest.errors import StoppedError, UsageError

_MODE: Final = 0o644
"""The collector is another user; there is nothing but counts in the file."""


def prove_metrics(path: str) -> None:
    """Find out before anything is sent whether metrics can be written.

    Raises:
        UsageError: prometheus-client is not installed, or the place is none.
    """
    try:
        import prometheus_client  # noqa: F401, PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UsageError(
            "--metrics-file needs the package prometheus-client",
            hint="pip install 'ingest[metrics]'",
            code="metrics_missing",
        ) from error
    place = Path(path)
    if place.suffix != ".prom" or not os.access(place.parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"--metrics-file {path} cannot be used",
            hint="it takes a name that ends in .prom, in a directory that you may write to",
            code="metrics_unusable",
        )


def write_metrics(
    path: str, summary: Mapping[str, Any], *, job: str, finished_unix_s: float
) -> None:
    """Write what a run came to, whole or not at all.

    Args:
        path: Replaced where it stands.
        summary: Of the run.
        job: The job's name; empty without.
        finished_unix_s: When it ended, in seconds since 1970.

    Raises:
        StoppedError: The operating system refused.
    """
    content = _metrics(summary, job=job, finished_unix_s=finished_unix_s)
    place = Path(path)
    scratch = ""
    try:
        handle, scratch = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}-")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), _MODE)
        Path(scratch).replace(place)
    except OSError as error:
        if scratch:
            Path(scratch).unlink(missing_ok=True)
        raise StoppedError(
            f"cannot write the metrics to {path}: {error.strerror}",
            hint="the run itself ended as its summary says",
            code="metrics_unwritable",
        ) from error


def _metrics(summary: Mapping[str, Any], *, job: str, finished_unix_s: float) -> bytes:
    from prometheus_client import CollectorRegistry, Gauge, generate_latest  # noqa: PLC0415

    registry = CollectorRegistry()

    def gauge(name: str, text: str, values: Mapping[str, float], label: str = "") -> None:
        labels = ["ingest_job", *([label] if label else [])]
        made = Gauge(f"ingest_{name}", text, labels, registry=registry)
        for value, number in values.items():
            made.labels(job, *([value] if label else [])).set(number)

    gauge("exit_code", "Exit code of the last run.", {"": summary["exit_code"]})
    gauge("finished_timestamp_seconds", "When the last run ended.", {"": finished_unix_s})
    gauge("duration_seconds", "How long the last run took.", {"": summary["duration_s"]})
    gauge("records", "Records of the loads, by their end.", summary["records"], "end")
    gauge("marked_records", "Records with a mark beside it.", summary["of_which"], "mark")
    gauge("run_records", "What the last run added.", summary["this_run"], "end")
    gauge("violations", "Violations by reason code.", summary["codes"], "code")
    requests = summary["requests"]
    gauge("requests", "Requests of the last run, by answer.", requests["status"], "answer")
    gauge("requests_retried", "Requests that repeated one.", {"": requests["retried"]})
    return bytes(generate_latest(registry))
