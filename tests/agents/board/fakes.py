"""Workers for the board: tiny web servers whose numbers a test sets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from schemas.reasons import Outcome
from streams.metrics import Metrics
from streams.scrape import CONTENT_TYPE

__all__ = ["FakeWorker", "View", "channel_counts", "numbers", "running"]


@dataclass
class View:
    """A merge partition's numbers."""

    counts: dict[tuple[str, str], dict[str, int]]
    windows: dict[tuple[str, str, str], dict[str, dict[str, int]]] = field(default_factory=dict)

    def totals(self) -> dict[tuple[str, str], dict[str, int]]:
        """Return cumulative counts by channel and campaign."""
        return self.counts

    def rolling(self) -> dict[tuple[str, str, str], dict[str, dict[str, int]]]:
        """Return rolling counts by scope and window."""
        return self.windows


@dataclass
class FakeWorker:
    """One fake worker; ``text`` is what it says next."""

    text: str = ""
    status: int = 200
    health: tuple[int, str] = (200, "ok")
    address: str = ""

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer a scrape."""
        return web.Response(body=self.text.encode(), status=self.status, headers={"Content-Type": CONTENT_TYPE})

    async def healthz(self, request: web.Request) -> web.Response:
        """Answer a question for health."""
        return web.Response(status=self.health[0], text=self.health[1])


@asynccontextmanager
async def running(worker: FakeWorker, port: int = 0) -> AsyncIterator[FakeWorker]:
    """Serve a fake worker on a free port."""
    app = web.Application()
    app.router.add_get("/metrics", worker.metrics)
    app.router.add_get("/healthz", worker.healthz)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    host, port = runner.addresses[0][:2]
    worker.address = f"{host}:{port}"
    try:
        yield worker
    finally:
        await runner.cleanup()


def channel_counts(times: int = 1, currency: str = "EUR") -> dict[str, int]:
    """Return round counts: CTR 2.5 %, conversion 20 %, CPC 0.40, CPA 2.00, ROAS 4."""
    return {
        "impressions": 400 * times,
        "clicks": 10 * times,
        "orders": 2 * times,
        f"spend:{currency}": 4_000_000 * times,
        f"revenue:{currency}": 16_000_000 * times,
    }


def numbers(
    counts: dict[tuple[str, str], dict[str, int]],
    *,
    events: int = 0,
    unexplained: int = 0,
    watermark_ms: int | None = 1_700_000_000_000,
    windows: dict[tuple[str, str, str], dict[str, dict[str, int]]] | None = None,
) -> str:
    """Return what a worker says, made by the product's own metrics."""
    metrics = Metrics()
    metrics.set_merged(0, View(counts, windows or {}))
    metrics.count_events("clicks", {("click", Outcome.ACCEPTED): events})
    metrics.show_ledger("clicks", 0, {"accepted": events, "duplicate": 3}, unexplained)
    metrics.show_watermark("clicks", 0, watermark_ms)
    metrics.show_lag("clicks", 0, 5)
    return metrics.render()[0].decode()
