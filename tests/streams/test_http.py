"""The worker's server over real sockets: metrics, health, ports, and clients that misbehave."""

import asyncio
import errno
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPMessage

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streams.http import TRIES, MetricsServer
from streams.metrics import Metrics
from streams.settings import SettingsError
from tests.streams.merged_views import FakeView, large_view

HOST = "127.0.0.1"


class Health:
    """A health check that says what it is told to."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.error: Exception | None = None

    def __call__(self) -> str | None:
        """Return the reason, or fail."""
        if self.error:
            raise self.error
        return self.reason


@pytest.fixture
def health() -> Health:
    """A health check that is content."""
    return Health()


@pytest.fixture
def metrics() -> Metrics:
    """Metrics with a number in them."""
    metrics = Metrics()
    metrics.set_merged(0, FakeView({("search", "spring"): {"clicks": 3}}))
    return metrics


@pytest.fixture
def server(metrics: Metrics, health: Health) -> Iterator[MetricsServer]:
    """A running server on any port."""
    server = MetricsServer(HOST, 0, metrics=metrics, health=health)
    server.start()
    yield server
    server.stop()


def get(url: str, accept: str = "*/*", method: str = "GET") -> tuple[int, HTTPMessage, str]:
    """Return status, headers and body of an answer."""
    request = urllib.request.Request(url, headers={"Accept": accept}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


# -- answers -----------------------------------------------------------------


def test_metrics_are_served_as_text(server):
    """Any client gets the text format, with the numbers in it."""
    status, headers, body = get(server.url + "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    values = {s.name: s.value for family in parse_text(body) for s in family.samples if "channel" in s.labels}
    assert values["campaignwatch_clicks_total"] == 3


def test_metrics_are_served_as_openmetrics_to_prometheus(server):
    """With the header that Prometheus sends."""
    accept = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1"
    status, headers, body = get(server.url + "/metrics", accept)
    assert (status, headers["Content-Type"].split(";")[0]) == (200, "application/openmetrics-text")
    assert "campaignwatch_clicks" in {family.name for family in parse_openmetrics(body)}


def test_a_query_does_not_hide_the_page(server):
    """Some scrapers add one."""
    assert get(server.url + "/metrics?x=1")[0] == 200


def test_each_scrape_shows_the_newest_numbers(server, metrics):
    """Nothing is cached."""
    metrics.set_merged(0, FakeView({("search", "spring"): {"clicks": 4}}))
    assert 'clicks_total{campaign="spring",channel="search"} 4.0' in get(server.url + "/metrics")[2]
    metrics.set_merged(0, None)
    assert "clicks_total{" not in get(server.url + "/metrics")[2]


def test_a_healthy_worker_says_ok(server):
    """Status 200 while nothing is wrong."""
    assert get(server.url + "/healthz")[::2] == (200, "ok\n")


def test_an_unhealthy_worker_says_why_in_one_line(server, health):
    """Status 503, and the reason without line breaks."""
    health.reason = "ingest[3] is 40 records behind\nand has not moved for 60 s"
    assert get(server.url + "/healthz")[::2] == (503, "ingest[3] is 40 records behind and has not moved for 60 s\n")


def test_a_health_check_that_fails_is_unhealthy(server, health):
    """It says what kind of failure, and nothing that the failure may quote."""
    health.error = ValueError("user-17")
    assert get(server.url + "/healthz")[::2] == (503, "the health check failed: ValueError\n")


def test_metrics_that_fail_do_not_stop_the_server(server, metrics, monkeypatch):
    """The next scrape is served again."""
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "render", lambda accept: 1 / 0)
        assert get(server.url + "/metrics")[::2] == (500, "ZeroDivisionError; see the log\n")
    assert get(server.url + "/metrics")[0] == 200


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/healthz/x", "/..%2f"])
def test_anything_else_is_not_found(server, path):
    """There are two pages."""
    assert get(server.url + path)[0] == 404


def test_head_has_no_body(server):
    """The length is that of the page."""
    status, headers, body = get(server.url + "/metrics", method="HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 100


def test_the_server_does_not_tell_what_it_runs_on(server):
    """No version in the headers."""
    assert get(server.url + "/healthz")[1]["Server"] == "campaignwatch"


# -- clients and the event loop ----------------------------------------------


@pytest.mark.parametrize("request_bytes", [b"", b"GET", b"\xff\xfe\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n"])
def test_clients_that_misbehave_harm_nobody(server, request_bytes, capfd):
    """They are dropped without a word in the log; the next one is served."""
    with socket.create_connection((HOST, server.port), timeout=10) as client:
        client.sendall(request_bytes)
        client.shutdown(socket.SHUT_WR)
        while client.recv(65_536):
            pass
    assert get(server.url + "/healthz")[0] == 200
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_silent_client_does_not_hold_up_others(server):
    """Each has a thread of its own."""
    with socket.create_connection((HOST, server.port)):
        assert get(server.url + "/healthz")[0] == 200


async def test_a_hanging_event_loop_can_still_be_seen(server):
    """The server answers while the loop does not run at all."""
    assert get(server.url + "/healthz")[0] == 200  # blocks the loop that this test runs in


async def test_a_scrape_leaves_the_event_loop_running(server, metrics):
    """While pages of thousands of series are written, the loop goes on taking turns."""
    metrics.set_merged(0, large_view(200))
    scrapes = asyncio.gather(*(asyncio.to_thread(get, server.url + "/metrics") for _ in range(3)))
    turns = 0
    while not scrapes.done():
        turns += 1
        await asyncio.sleep(0)
    pages = [body for _, _, body in await scrapes]
    assert all(body.count("\n") > 5_000 for body in pages)
    assert turns > 10


# -- ports -------------------------------------------------------------------


def start(host: str, port: int) -> MetricsServer:
    """Return a started server with nothing to show."""
    server = MetricsServer(host, port, metrics=Metrics(), health=lambda: None)
    server.start()
    return server


def test_a_taken_port_leads_to_the_next_free_one(server):
    """Workers on one machine share one setting."""
    second = start(HOST, server.port)
    try:
        assert server.port < second.port < server.port + TRIES
        assert get(second.url + "/healthz")[0] == 200
    finally:
        second.stop()


def test_a_port_can_be_used_again_at_once():
    """Else Prometheus would look for a restarted worker at the wrong port."""
    first = start(HOST, 0)
    assert get(first.url + "/healthz")[0] == 200
    first.stop()
    second = start(HOST, first.port)
    second.stop()
    assert second.port == first.port


def test_a_stopped_server_does_not_listen(server):
    """And may be stopped twice."""
    server.stop()
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, server.port), timeout=5)


def test_no_free_port_is_a_mistake_in_one_line(server, monkeypatch):
    """It says where, and what to change."""
    monkeypatch.setattr("streams.http.TRIES", 1)
    with pytest.raises(
        SettingsError, match=rf"^metrics_port: no port from {server.port} to \d+ is free .*; give [^\n]*$"
    ):
        start(HOST, server.port)


def test_the_last_port_is_the_last_to_be_tried(monkeypatch):
    """There is no port 65536."""
    tried = []

    def taken(host, port, *rest):
        tried.append(port)
        raise OSError(errno.EADDRINUSE, "taken")

    monkeypatch.setattr("streams.http._Server", taken)
    with pytest.raises(SettingsError, match="metrics_port"):
        start(HOST, 65_534)
    assert tried == [65_534, 65_535]


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "a..b"])
def test_a_host_that_is_not_ours_is_a_mistake_in_one_line(host):
    """No further port is tried."""
    with pytest.raises(
        SettingsError, match=r"^metrics_host: cannot listen on [^\n]*; give an address of this machine$"
    ):
        start(host, 9_464)


def test_the_url_names_an_address_to_connect_to():
    """Nobody connects to 0.0.0.0; an IPv6 address needs brackets."""
    for host, url in {
        "0.0.0.0": "http://127.0.0.1:9464",
        "::": "http://[::1]:9464",
        "::1": "http://[::1]:9464",
    }.items():
        assert MetricsServer(host, 9_464, metrics=Metrics(), health=lambda: None).url == url


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_ipv6_is_served():
    """Loopback of version 6 serves like any other address."""
    try:
        server = start("::1", 0)
    except SettingsError:
        pytest.skip("this machine has no IPv6 loopback")
    try:
        assert get(server.url + "/healthz")[0] == 200
    finally:
        server.stop()


def test_starting_asks_for_no_name_of_this_machine(monkeypatch):
    """A slow name server must not hold up a worker."""
    monkeypatch.setattr(socket, "getfqdn", lambda *_: pytest.fail("asked for a name"))
    start(HOST, 0).stop()
