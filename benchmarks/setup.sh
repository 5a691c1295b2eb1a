#!/bin/sh
# What the benchmarks need besides `ingest` itself: nginx as a sink, and the packages of
# requirements.txt in the Python that runs them (PYTHON=..., by default `python3`).
set -eu
cd "$(dirname "$0")"
if ! command -v nginx >/dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends nginx-light
    # The package starts a server of its own; the benchmarks start theirs.
    service nginx stop || true
fi
"${PYTHON:-python3}" -m pip install -r requirements.txt
