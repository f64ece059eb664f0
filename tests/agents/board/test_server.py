"""The board over HTTP, with fake workers."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.board.feed import HISTORY, Feed
from agents.board.server import Board
from streams.clock import monotonic
from tests.agents.board.fakes import FakeWorker, channel_counts, numbers, running
from tests.waiting import until

COUNTS = {("search", "a"): channel_counts()}


@pytest.fixture
async def workers() -> AsyncIterator[list[FakeWorker]]:
    """Two fake workers."""
    async with running(FakeWorker(numbers(COUNTS))) as one, running(FakeWorker(numbers({("video", "b"): {}}))) as two:
        yield [one, two]


@pytest.fixture
async def board(workers: list[FakeWorker]) -> AsyncIterator[Board]:
    """A board over them, with a first page."""
    feed = Feed(lambda: {str(at + 1): w.address for at, w in enumerate(workers)}, lateness_ms=60_000, interval=0.2)
    board = Board(feed, "127.0.0.1", 20_080)
    await board.start()
    await feed.after(0)
    yield board
    await board.stop()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, so to speak."""
    async with aiohttp.ClientSession() as session:
        yield session


async def get(client: aiohttp.ClientSession, board: Board, path: str) -> tuple[int, str]:
    """Return status and text of a path."""
    async with client.get(board.url + path) as response:
        return response.status, await response.text()


async def pages(board: Board, client: aiohttp.ClientSession, count: int) -> list[dict[str, Any]]:
    """Return the next pages that the event stream sends."""
    found: list[dict[str, Any]] = []
    async with client.get(board.url + "events") as response:
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            if line.startswith(b"data: "):
                found.append(msgspec.json.decode(line.removeprefix(b"data: ")))
            if len(found) == count:
                break
    return found


async def test_the_page_and_what_it_needs(board: Board, client: aiohttp.ClientSession) -> None:
    """Page, style and script come from here and nothing from elsewhere is allowed in."""
    async with client.get(board.url) as response:
        page = await response.text()
        assert response.content_type == "text/html"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
    for path in ("static/board.js", "static/board.css", "static/icon.svg"):
        assert f"/{path}" in page
        status, text = await get(client, board, path)
        assert status == 200
        assert "http://" not in text.replace("http://www.w3.org/", "")
        assert "https://" not in text
    assert (await get(client, board, "static/../server.py"))[0] == 404
    assert (await get(client, board, "nothing"))[0] == 404


async def test_numbers_move_on_the_event_stream(
    board: Board, workers: list[FakeWorker], client: aiohttp.ClientSession
) -> None:
    """The newest page comes at once, and a new number with the next one."""
    (first,) = await pages(board, client, 1)
    assert [row["channel"] for row in first["channels"]] == ["search", "video"]
    workers[0].text = numbers({("search", "a"): channel_counts(2)})
    _old, *newer = await pages(board, client, 4)
    assert newer[-1]["channels"][0]["clicks"] == 20
    assert newer[-1]["total"]["clicks"] == 20
    assert 0 < len(newer[-1]["channels"][0]["history"]) <= HISTORY


async def test_metrics_of_all_workers_in_one_text(board: Board, client: aiohttp.ClientSession) -> None:
    """Prometheus reads it; each sample names its worker."""
    status, text = await get(client, board, "metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    clicks = {(s.labels["worker"], s.labels["channel"]): s.value for s in families["campaignwatch_clicks"].samples}
    assert clicks["1", "search"] == 10.0
    assert {s.labels["worker"]: s.value for s in families["campaignwatch_worker_up"].samples} == {"1": 1.0, "2": 1.0}


async def test_a_worker_that_goes_down(
    board: Board, workers: list[FakeWorker], client: aiohttp.ClientSession
) -> None:
    """It is named as down, its numbers are gone from page and metrics, and health fails."""
    assert (await get(client, board, "healthz"))[0] == 200
    workers[0].status = 500
    await board.feed.after(board.feed.number + 1)
    (page,) = await pages(board, client, 1)
    assert [worker["state"] for worker in page["workers"]] == ["down", "healthy"]
    assert [row["channel"] for row in page["channels"]] == ["video"]
    assert not page["complete"]
    _status, text = await get(client, board, "metrics")
    assert 'campaignwatch_worker_up{worker="1"} 0' in text
    assert 'channel="search"' not in text
    status, health = await get(client, board, "healthz")
    assert (status, msgspec.json.decode(health)["workers"]) == (503, {"1": "down", "2": "healthy"})


async def test_an_unhealthy_worker_says_why(
    board: Board, workers: list[FakeWorker], client: aiohttp.ClientSession
) -> None:
    """Its numbers stay, its state changes."""
    workers[1].health = (503, "merge[3] is 70 records behind and has not moved for 30 s\n")
    await board.feed.after(board.feed.number + 1)
    (page,) = await pages(board, client, 1)
    assert page["workers"][1]["state"] == "unhealthy"
    assert page["workers"][1]["detail"] == "merge[3] is 70 records behind and has not moved for 30 s"
    assert (await get(client, board, "healthz"))[0] == 503


async def test_another_program_on_a_workers_port(board: Board, workers: list[FakeWorker]) -> None:
    """Its page is no number and no crash."""
    workers[0].text = "<!doctype html><p>Hello</p>"
    await board.feed.after(board.feed.number + 1)
    assert board.feed.page is not None
    assert board.feed.page.workers[0].state == "down"


async def test_a_worker_that_hangs_does_not_hold_up_the_others(workers: list[FakeWorker]) -> None:
    """It has as long as the interval, then the page goes out without it."""
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        addresses = {"1": workers[0].address, "2": f"127.0.0.1:{hanging.getsockname()[1]}"}
        feed = Feed(lambda: addresses, lateness_ms=0, interval=0.3)
        task = asyncio.create_task(feed.run())
        await asyncio.wait_for(feed.after(2), 20)
        task.cancel()
    assert feed.page is not None
    assert [worker.state for worker in feed.page.workers] == ["healthy", "starting"]
    assert feed.page.channels[0].clicks == 10


async def test_a_restarted_worker_may_come_back_elsewhere(board: Board, workers: list[FakeWorker]) -> None:
    """Addresses are asked for at each scrape."""
    async with running(FakeWorker(numbers({("audio", "c"): channel_counts(5)}))) as moved:
        workers[0] = moved
        await until(lambda: board.feed.page and board.feed.page.channels[0].channel == "audio")


async def test_a_taken_port_gives_the_next_free_one(board: Board, client: aiohttp.ClientSession) -> None:
    """Two boards on one machine do not meet."""
    other = Board(Feed(dict, lateness_ms=0), "127.0.0.1", board.port)
    await other.start()
    try:
        assert other.port > board.port
        assert (await get(client, other, ""))[0] == 200
    finally:
        await other.stop()


async def test_an_address_that_is_not_ours_is_an_error() -> None:
    """The caller says which setting to mend."""
    other = Board(Feed(dict, lateness_ms=0), "192.0.2.1", 20_080)
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        await other.start()
    await other.stop()


async def test_open_pages_do_not_hold_up_the_end(board: Board, client: aiohttp.ClientSession) -> None:
    """A browser never hangs up by itself."""
    async with client.get(board.url + "events") as response:
        await response.content.readline()
        began = monotonic()
        await board.stop()
        assert monotonic() - began < 5
        assert board.feed.number > 0


async def test_health_fails_when_the_board_itself_stands_still(
    board: Board, client: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old good news is no news."""
    assert (await get(client, board, "healthz"))[0] == 200
    monkeypatch.setattr("agents.board.server.STALE_SECONDS", -1.0)
    assert (await get(client, board, "healthz"))[0] == 503
