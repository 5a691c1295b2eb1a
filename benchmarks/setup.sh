#!/bin/sh
# What the benchmarks need besides `ingest` itself: nginx as a sink, syslog-ng and the packages of
# peers.txt to compare with, and the packages of requirements.txt in the Python that runs them (PYTHON=..., by default `python3`).
set -eu
cd "$(dirname "$0")"
if ! command -v nginx >/dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends nginx-light
    # The package starts a server of its own; the benchmarks start theirs.
    service nginx stop || true
fi
if ! command -v syslog-ng >/dev/null; then
    apt-get update
    apt-get install -y --no-install-recommends syslog-ng-core syslog-ng-mod-http
    service syslog-ng stop || true
fi
"${PYTHON:-python3}" -m pip install -r requirements.txt
# What `ingest` is compared with, in an environment of its own.
[ -d .peers ] || "${PYTHON:-python3}" -m venv .peers
.peers/bin/pip install -q -r peers.txt
