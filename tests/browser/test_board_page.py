"""The live page in a real browser (needs node, chromium and `npm ci` in this folder)."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agents.board.feed import Feed
from agents.board.server import Board
from tests.agents.board.fakes import FakeWorker, channel_counts, numbers, running

HERE = Path(__file__).parent
NODE = shutil.which("node")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = '<img src=x onerror="document.title=1">'

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(NODE is None or CHROMIUM is None, reason="needs node and chromium"),
    pytest.mark.skipif(
        not (HERE / "node_modules" / "playwright-core").is_dir(), reason="needs `npm ci` in tests/browser"
    ),
]


def moving_texts(worker: int) -> Iterator[str]:
    """Yield what a worker says, a little more each time."""
    channels = [["search", "email", "shopping", HOSTILE], ["video", "social", "display"]][worker]
    window = {"impressions": 400, "clicks": 20}
    for times in range(1, 1_000_000):
        counts = {(channel, "a"): channel_counts(times) for channel in channels} | {("audio", "b"): {"orders": 1}}
        windows = {("channel", channel, ""): {"1m": window} for channel in channels}
        yield numbers(counts, events=100 * times, watermark_ms=1_700_000_000_000 + 1_000 * times, windows=windows)


async def move(workers: list[FakeWorker]) -> None:
    """Let the workers' numbers move."""
    for texts in zip(*(moving_texts(number) for number in (0, 1)), strict=True):
        for worker, text in zip(workers, texts, strict=True):
            worker.text = text
        await asyncio.sleep(0.2)


async def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """It moves, explains itself, can be read in light and dark and on a phone, and says what it does not know."""
    assert NODE is not None
    assert CHROMIUM is not None
    folder = os.environ.get("CAMPAIGNWATCH_TEST_SCREENSHOTS", str(tmp_path))
    async with running(FakeWorker()) as one, running(FakeWorker()) as two:
        moving = asyncio.create_task(move([one, two]))
        addresses = {"worker 1": one.address, "worker 2": two.address}
        board = Board(Feed(lambda: addresses, lateness_ms=60_000, demo=True, interval=0.5), "127.0.0.1", 20_480)
        await board.start()
        node = await asyncio.create_subprocess_exec(
            NODE, str(HERE / "board.mjs"), board.url, CHROMIUM, folder, cwd=HERE, stdout=asyncio.subprocess.PIPE
        )
        said: list[str] = []
        try:
            assert node.stdout is not None
            async for line in node.stdout:
                said.append(line.decode().strip())
                if said[-1] == "do worker-down":
                    two.status = 500
                elif said[-1] == "do server-down":
                    await board.stop()
            assert await node.wait() == 0
        finally:
            with suppress(ProcessLookupError):
                node.kill()
            moving.cancel()
            await board.stop()
    assert said[-1] == "all well"
