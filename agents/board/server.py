"""The web server of the live page: static files, server-sent events, the workers' metrics in one text.

Easy to get wrong: a browser keeps its event stream open for ever, so the end of the server must end the streams; and
the page has no login, so it listens on loopback unless told otherwise.
"""

import asyncio
import errno
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from agents.board.feed import Feed
from streams.scrape import CONTENT_TYPE

__all__ = ["Board"]

STATIC = Path(__file__).parent / "static"

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""The page needs nothing from elsewhere, so nothing from elsewhere may run in it."""

TRIES = 100
"""Ports that are tried, from the wanted one up."""

STALE_SECONDS = 10
"""Without a scrape for so long the board itself is not well."""


@dataclass(slots=True)
class Board:
    """The page of one deployment on ``host``, on ``port`` or the next free one (then ``port`` changes)."""

    feed: Feed
    host: str
    port: int
    _runner: web.AppRunner | None = None
    _scraping: asyncio.Task[None] | None = None
    _streams: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Return the address to open in a browser."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    async def start(self) -> None:
        """Listen and begin to scrape.

        Raises:
            OSError: if no port can be had on this host.
        """
        app = web.Application()
        app.on_response_prepare.append(_add_headers)
        app.router.add_get("/", self._page)
        app.router.add_static("/static/", STATIC)
        app.router.add_get("/events", self._events)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        self.port = await self._listen(self._runner)
        self._scraping = asyncio.create_task(self.feed.run())

    async def stop(self) -> None:
        """End open streams and stop listening."""
        tasks = [*self._streams, *filter(None, [self._scraping])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _listen(self, runner: web.AppRunner) -> int:
        for port in range(self.port, min(self.port + TRIES, 65_536)):
            try:
                await web.TCPSite(runner, self.host, port).start()
                return port
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        raise OSError(errno.EADDRINUSE, f"ports {self.port} to {self.port + TRIES - 1} are taken")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        stream = asyncio.create_task(self._send_pages(response))
        self._streams.add(stream)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                await stream
        finally:
            stream.cancel()
            self._streams.discard(stream)
        return response

    async def _send_pages(self, response: web.StreamResponse) -> None:
        number = max(0, self.feed.number - 1)  # the newest page at once, not in a second
        while True:
            number, page = await self.feed.after(number)
            await response.write(b"data: " + page + b"\n\n")

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self.feed.metrics().encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, request: web.Request) -> web.Response:
        page = self.feed.page
        if page is None or self.feed.age() > STALE_SECONDS:
            return web.json_response({"healthy": False, "workers": {}}, status=503)
        states = {worker.name: worker.state for worker in page.workers}
        healthy = all(state == "healthy" for state in states.values())
        return web.json_response({"healthy": healthy, "workers": states}, status=200 if healthy else 503)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
