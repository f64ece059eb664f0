"""Ask every worker for its numbers once a second, and hand the resulting page to whoever watches.

Easy to get wrong: a worker that hangs must not hold up the others' numbers, so each has the same short time to answer,
and one that answers nonsense (another program on its port) is down, not an exception.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite

import aiohttp
import msgspec

from agents.board.page import Page, Scrape, Worker, build, events_rate, state_of
from streams.clock import Clock, monotonic, now_ms
from streams.scrape import CONTENT_TYPE, Sample, merge, parse

__all__ = ["Feed"]

HISTORY = 60
"""Points of each small curve: a minute at one per second."""

MAX_DETAIL = 200
"""Characters of a worker's own explanation that the page repeats."""


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    samples: list[Sample]
    healthy: bool
    detail: str


@dataclass(slots=True)
class Feed:
    """The newest page and the workers' raw metrics."""

    addresses: Callable[[], Mapping[str, str]]
    """Name and ``host:port`` of each worker; asked at each scrape, a restarted worker may have moved."""
    lateness_ms: int
    demo: bool = False
    interval: float = 1.0
    """Seconds between two scrapes, and how long a worker may take to answer."""
    clock: Clock = now_ms
    page: Page | None = None
    number: int = 0
    """Counts pages, so that a watcher can wait for the one after."""
    answers: dict[str, _Answer] = field(default_factory=dict)
    _before: Scrape | None = None
    _seen: set[str] = field(default_factory=set)
    _histories: dict[str, deque[float | None]] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def run(self) -> None:
        """Scrape until cancelled."""
        timeout = aiohttp.ClientTimeout(total=self.interval)
        async with aiohttp.ClientSession(timeout=timeout, headers={"Accept": CONTENT_TYPE}) as session:
            while True:
                began = monotonic()
                await self.scrape(session)
                await asyncio.sleep(max(0.0, began + self.interval - monotonic()))

    async def scrape(self, session: aiohttp.ClientSession) -> None:
        """Ask all workers now and make the next page."""
        addresses = dict(self.addresses())
        given = await asyncio.gather(*(_ask(session, address) for address in addresses.values()))
        self.answers = {name: answer for name, answer in zip(addresses, given, strict=True) if answer is not None}
        self._seen |= self.answers.keys()
        scrape = Scrape(monotonic(), {name: answer.samples for name, answer in self.answers.items()})
        workers = [self._worker(name, address, scrape) for name, address in addresses.items()]
        page = build(
            scrape, self._before, workers, now_ms=self.clock(), lateness_ms=self.lateness_ms, demo=self.demo
        )
        page.history = self._remember("events", page.events_per_second)
        page.total.history = self._remember("all channels", page.total.clicks_per_second)
        for channel in page.channels:
            channel.history = self._remember(f"channel {channel.channel}", channel.clicks_per_second)
        self._before = scrape
        async with self._changed:
            self.page, self.number = page, self.number + 1
            self._changed.notify_all()

    async def after(self, number: int) -> tuple[int, bytes]:
        """Return the first page after page ``number`` as JSON, and its number; waits for it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.number > number)
            return self.number, msgspec.json.encode(self.page)

    def age(self) -> float:
        """Return the seconds since the last scrape; without one it is infinite."""
        return monotonic() - self._before.at if self._before is not None else float("inf")

    def metrics(self) -> str:
        """Return the metrics of all workers that answered, and for each worker whether it did."""
        lines = ["# HELP campaignwatch_worker_up Whether the worker answered the board's last scrape."]
        lines.append("# TYPE campaignwatch_worker_up gauge")
        for name in self.addresses():
            lines.append(f'campaignwatch_worker_up{{worker="{name}"}} {int(name in self.answers)}')
        return "\n".join(lines) + "\n" + merge({name: answer.text for name, answer in self.answers.items()})

    def _worker(self, name: str, address: str, scrape: Scrape) -> Worker:
        answer = self.answers.get(name)
        healthy = answer is not None and answer.healthy
        return Worker(
            name=name,
            address=address,
            state=state_of(answered=answer is not None, healthy=healthy, seen=name in self._seen),
            detail=answer.detail if answer is not None and not healthy else "",
            events_per_second=events_rate(scrape, self._before, name),
        )

    def _remember(self, key: str, value: float | None) -> list[float | None]:
        history = self._histories.setdefault(key, deque(maxlen=HISTORY))
        history.append(value)
        return list(history)


async def _ask(session: aiohttp.ClientSession, address: str) -> _Answer | None:
    try:
        (status, text), (health, detail) = await asyncio.gather(
            _get(session, f"http://{address}/metrics"), _get(session, f"http://{address}/healthz")
        )
        if status != 200:
            return None
        samples = [sample for sample in parse(text) if isfinite(sample.value)]  # NaN is unknown, so it is left out
        return _Answer(text, samples, health == 200, detail.strip()[:MAX_DETAIL])
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
        return None


async def _get(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(url, allow_redirects=False) as response:
        return response.status, await response.text()
