"""The Prometheus of the tests itself: it scrapes what it is told, follows changes, and ends."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from streams.kafka.broker import is_taken
from tests.prometheus import Prometheus

pytestmark = pytest.mark.prometheus


@contextmanager
def exporter(text: str) -> Iterator[str]:
    """Serve ``text`` as metrics on a free port; yield its ``host:port``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_adds_up_targets_and_follows_their_change() -> None:
    """A sum over two targets is seen, and after one of them went only the other's part is left."""
    with exporter('clicks_total{channel="a"} 3\n') as one, exporter('clicks_total{channel="b"} 4\n') as two:
        with Prometheus([one, two]) as prometheus:
            assert prometheus.wait_for("sum(clicks_total)", lambda value: value == 7) == 7
            assert sorted((labels["channel"], value) for labels, value in prometheus.query("clicks_total")) == [
                ("a", 3),
                ("b", 4),
            ]
            prometheus.scrape([two])
            prometheus.wait_for("sum(clicks_total)", lambda value: value == 4)
        assert not is_taken("127.0.0.1", prometheus.port)
        assert not prometheus.folder.exists()


def test_says_what_it_saw_last() -> None:
    """A condition that never holds fails with the expression and the last value."""
    with Prometheus() as prometheus:
        assert prometheus.value("vector(5)") == 5
        assert prometheus.value("nothing") is None
        with pytest.raises(AssertionError, match=r"nothing is None after 0 s"):
            prometheus.wait_for("nothing", lambda value: value is not None, seconds=0.1)
