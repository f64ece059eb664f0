"""``campaignwatch replay``: send recorded events again, at the pace they had, faster, or as fast as possible.

Kafka's time of each record is *now*; the event time stays what the line says. So what was recorded lies in the past of
its record, as late as it likes, and decides the same as it did live.

Easy to get wrong: reading standard input must not stop the event loop, so a thread reads; and since nobody can end a
thread that waits for a pipe, it is one that does not keep the process alive.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from difflib import get_close_matches
from threading import Semaphore, Thread
from typing import Annotated

import typer

from agents.cli.errors import INTERRUPTED, UserError
from agents.cli.options import BrokerOption, ConfigOption, PrefixOption, load_settings
from agents.cli.sending import Meter, refused, stop_on_signals
from streams.clock import monotonic
from streams.replay import KEYED_BY, Pace, ReplayError, Source, keyed
from streams.settings import Settings

__all__ = ["replay", "speed_of"]

LOTS_AHEAD = 4
"""Lots of a megabyte read ahead of the broker."""

SOON = 0.01
"""Seconds: what is due within them goes with the lot before."""

Rows = list[tuple[bytes | None, bytes | None]]


def replay(
    files: Annotated[
        list[str], typer.Argument(help="Files of JSON lines, .gz too, sent in this order; - is standard input.")
    ],
    topic: Annotated[str, typer.Option("--topic", "-t", help="clicks, orders, social or campaigns.")],
    speed: Annotated[str, typer.Option(help="max, or a multiple of the recorded pace: 1x, 60x.")] = "max",
    config: ConfigOption = None,
    broker: BrokerOption = None,
    topic_prefix: PrefixOption = None,
) -> None:
    """Send recorded events from files, each to the partition of its user. Every line is sent, bad ones too."""
    settings = load_settings(config, broker=broker, topic_prefix=topic_prefix).settings
    if topic not in KEYED_BY:
        close = get_close_matches(topic, KEYED_BY, n=1)
        raise UserError(f"--topic {topic}: is no input topic; give {close[0] if close else ', '.join(KEYED_BY)}")
    factor = speed_of(speed)
    sources = _open(files)
    if not asyncio.run(_run(settings, topic, sources, factor)):
        raise typer.Exit(INTERRUPTED)


def speed_of(text: str) -> float | None:
    """Return the factor of a ``--speed``, ``None`` for as fast as possible.

    >>> speed_of("max"), speed_of("60x"), speed_of("0.5x")
    (None, 60.0, 0.5)
    """
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor <= 1e9:
        raise UserError(f"--speed {text}: is no speed; give max, or a multiple of the recorded pace such as 1x or 60x")
    return factor


def _open(files: list[str]) -> list[Source]:
    """Open every file before the first line is sent: a wrong name must not leave half a replay behind."""
    try:
        return [Source(name) for name in files]
    except ReplayError as error:
        raise UserError(str(error)) from None


async def _run(settings: Settings, topic: str, sources: list[Source], speed: float | None) -> bool:
    stop = stop_on_signals(asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM))
    known = all(source.total_bytes for source in sources)
    total = sum(source.total_bytes for source in sources) if known else None
    try:
        with Meter("replay", total=total) as meter:
            sender = _Sender(settings, topic, Pace(speed) if speed else None, sources, meter, stop)
            await sender.run()
    except ReplayError as error:
        raise UserError(f"{error}; {meter.sent:,} records before it were sent") from None
    ended = ", stopped before the end" if stop.is_set() else ""
    print(f"replay: {meter.summary()} to {settings.topic(topic)}{ended}; "
          f"{sender.keyless:,} without a {KEYED_BY[topic]}, {sender.empty:,} empty lines left out")
    return not stop.is_set()


class _Sender:
    """One replay under way."""

    def __init__(self, settings: Settings, topic: str, pace: Pace | None, sources: list[Source], meter: Meter,
                 stop: asyncio.Event) -> None:
        from streams.kafka.produce import KeyedWriter

        self._settings = settings
        self._topic = topic
        self._pace = pace
        self._sources = sources
        self._meter = meter
        self._stop = stop
        self._writer = KeyedWriter(settings.broker)
        self._writing: asyncio.Future[int] | None = None
        self._read = 0
        self.keyless = 0

    @property
    def empty(self) -> int:
        """Lines that held nothing."""
        return sum(source.line for source in self._sources) - self._read

    async def run(self) -> None:
        """Send everything, or until told to stop."""
        from streams.kafka.admin import ensure_topics

        with refused(self._settings.broker):
            await ensure_topics(self._settings.broker, self._settings)
            async with self._writer:
                try:
                    async for lot in _lots(self._sources, self._stop):
                        self._read += len(lot)
                        await (self._paced(lot, self._pace) if self._pace else self._at_once(lot))
                finally:
                    await self._settled()

    async def _at_once(self, lot: list[bytes]) -> None:
        await self._write([(line.key, line.value) for line in (keyed(self._topic, value) for value in lot)])

    async def _paced(self, lot: list[bytes], pace: Pace) -> None:
        rows: Rows = []
        for value in lot:
            line = keyed(self._topic, value)
            due = pace.due(line.time_ms, monotonic())
            if due > monotonic() + SOON:
                await self._write(rows)
                rows = []
                await self._until(due)
            if self._stop.is_set():
                break
            rows.append((line.key, line.value))
        await self._write(rows)

    async def _until(self, due: float) -> None:
        await self._settled()
        try:
            await asyncio.wait_for(self._stop.wait(), max(0.0, due - monotonic()))
        except TimeoutError:
            return

    async def _write(self, rows: Rows) -> None:
        """Begin to write a lot, once the one before it is acknowledged: a key's records stay in order."""
        await self._settled()
        if rows:
            self.keyless += sum(key is None for key, _ in rows)
            self._writing = asyncio.ensure_future(self._writer.write(self._settings.topic(self._topic), rows))
            await asyncio.sleep(0)

    async def _settled(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            self._meter.add(await writing, position=sum(source.done_bytes for source in self._sources))


async def _lots(sources: list[Source], stop: asyncio.Event) -> AsyncIterator[list[bytes]]:
    """Yield the lots of all files, read by a thread, until the end or ``stop``."""
    loop = asyncio.get_running_loop()
    lots: asyncio.Queue[list[bytes] | Exception | None] = asyncio.Queue()
    room = Semaphore(LOTS_AHEAD)

    def put(item: list[bytes] | Exception | None) -> None:
        room.acquire()
        loop.call_soon_threadsafe(lots.put_nowait, item)

    def read() -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits for more
            try:
                for source in sources:
                    for lot in source.batches():
                        put(lot)
                    source.close()
                put(None)
            except Exception as error:  # whatever it is, it must reach the loop that waits
                put(error)

    Thread(target=read, daemon=True).start()
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while True:
            waiting = asyncio.ensure_future(lots.get())
            await asyncio.wait((waiting, stopped), return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                waiting.cancel()
                return
            item = waiting.result()
            room.release()
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.cancel()
