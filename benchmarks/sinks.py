"""The peers of the benchmarks: nginx, and small servers in processes of their own."""

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme

_CONF = """
daemon off; master_process off; pid {home}/pid; error_log {home}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
    client_body_temp_path {home}; proxy_temp_path {home}; fastcgi_temp_path {home};
    uwsgi_temp_path {home}; scgi_temp_path {home};
    default_type application/json; client_body_buffer_size 1m; client_max_body_size 2m;
    server {{
        listen 127.0.0.1:{port}{tls};
        location / {{ return 200 '{{"status":"ok","count":30}}'; }}
    }}
}}
"""


_TLS = " ssl; ssl_certificate {home}/chain.pem; ssl_certificate_key {home}/key.pem"


@dataclass(frozen=True, slots=True)
class Sink:
    """A running nginx.

    Args:
        url: Its origin.
        context: Settings of a client that trusts it; None over plain HTTP.
    """

    url: str
    context: ssl.SSLContext | None


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def nginx(*, tls: bool = False, cores: Collection[int] | None = None) -> Iterator[Sink]:
    """Run nginx with one worker that answers 200 to everything.

    Args:
        tls: Serve HTTPS, with a certificate of an authority of its own.
        cores: Where it runs; None: anywhere.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        raise SystemExit("nginx is not installed: run benchmarks/setup.sh")
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        context = _certify(home) if tls else None
        conf = _CONF.format(home=home, port=port, tls=_TLS.format(home=home) if tls else "")
        (home / "nginx.conf").write_text(conf)
        process = subprocess.Popen([program, "-c", home / "nginx.conf", "-p", home])
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            _wait_for(port)
            yield Sink(f"{'https' if tls else 'http'}://127.0.0.1:{port}", context)
        finally:
            process.terminate()
            process.wait()


def _certify(home: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(home / "key.pem")
    for part in leaf.cert_chain_pems:
        part.write_to_path(home / "chain.pem", append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def _wait_for(port: int, *, patience_s: float = 10.0) -> None:
    until_s = time.monotonic() + patience_s
    while time.monotonic() < until_s:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on port {port}")
