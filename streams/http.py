"""A worker's ``/metrics`` and ``/healthz``, served by threads of their own.

Threads and not the event loop, for two reasons: a page of 5,000 series takes tens of milliseconds to write, in which
no slice would move; and a worker whose event loop hangs must still be able to say so. What is read are pictures that
the loop replaces, so no lock is held across a scrape.

Easy to get wrong: ``health`` is called in another thread than the one that changes what it looks at. Should it fail,
the worker counts as unhealthy.
"""

import errno
import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from threading import Thread

import structlog

from streams.metrics import Metrics
from streams.settings import SettingsError

__all__ = ["MetricsServer"]

log = structlog.get_logger(__name__)

TRIES = 100
"""Ports that are tried: more workers than one machine carries."""

PLAIN = "text/plain; charset=utf-8"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class MetricsServer:
    """Serves a worker's metrics and health on ``port``, or on the next free one.

    Args:
        host: name or address to listen on.
        port: first port to try; 0 takes any.
        metrics: what ``/metrics`` shows.
        health: returns what is wrong, in one line, or ``None``.
    """

    def __init__(self, host: str, port: int, *, metrics: Metrics, health: Callable[[], str | None]) -> None:
        self.host = host
        self.port = port
        self._metrics = metrics
        self._health = health
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Where this machine reaches the server; final once it has started."""
        host = _EVERYWHERE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def start(self) -> None:
        """Listen, and answer from now on.

        Raises:
            SettingsError: when the host is none of this machine's, or no port is free.
        """
        server = self._server = self._listen()
        self.port = server.server_address[1]
        Thread(target=server.serve_forever, args=(0.1,), name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _listen(self) -> "_Server":
        last = min(self.port + TRIES - 1, 65_535) if self.port else 0
        for port in range(self.port, last + 1):
            try:
                return _Server(self.host, port, self._metrics, self._health)
            except (OSError, UnicodeError) as error:
                if getattr(error, "errno", None) not in (errno.EADDRINUSE, errno.EACCES):
                    why = getattr(error, "strerror", None) or "no host name"
                    problem = f"metrics_host: cannot listen on {self.host}: {why}; give an address of this machine"
                    raise SettingsError([problem]) from error
        problem = f"metrics_port: no port from {self.port} to {last} is free on {self.host}; give another first port"
        raise SettingsError([problem])


class _Server(ThreadingTCPServer):
    daemon_threads = True
    # Without it, connections of the last run would keep the port for a minute, and Prometheus would scrape nobody.
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str, port: int, metrics: Metrics, health: Callable[[], str | None]) -> None:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = family
        self.metrics = metrics
        self.health = health
        super().__init__((str(address[0]), port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log what failed, unless the client has only gone."""
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("metrics request failed", error=repr(error))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10
    """Seconds that a client may take for each read: nobody keeps a thread for good."""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(*self._metrics())
        elif path == "/healthz":
            self._answer(*self._health())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"not found; try /metrics or /healthz\n", PLAIN)

    do_HEAD = do_GET

    def version_string(self) -> str:
        """Return the name of this server, without versions of what it runs on."""
        return "campaignwatch"

    def log_message(self, format: str, *args: object) -> None:
        """Log no request: a scrape every few seconds is no news."""

    def _metrics(self) -> tuple[HTTPStatus, bytes, str]:
        try:
            return HTTPStatus.OK, *self.server.metrics.render(self.headers.get("Accept", ""))
        except Exception as error:
            log.exception("metrics cannot be shown")
            return HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}; see the log\n".encode(), PLAIN

    def _health(self) -> tuple[HTTPStatus, bytes, str]:
        try:
            reason = self.server.health()
        except Exception as error:
            log.exception("health cannot be told")
            reason = f"the health check failed: {type(error).__name__}"
        if reason is None:
            return HTTPStatus.OK, b"ok\n", PLAIN
        return HTTPStatus.SERVICE_UNAVAILABLE, " ".join(reason.split()).encode() + b"\n", PLAIN

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
