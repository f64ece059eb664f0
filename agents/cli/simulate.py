"""``campaignwatch simulate``: traffic whose exact totals are known.

Open loop: each record has its moment, whether or not the broker keeps up, so a slow system is seen as delay and not as
less traffic. The truth file tells what was sent *and acknowledged*, also after Ctrl-C.

Easy to get wrong: as fast as possible means that event time runs faster than the clock, and events from the future are
rejected; such a run therefore lies in the past and ends now.
"""

import asyncio
import signal
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.errors import UserError
from agents.cli.options import BrokerOption, ConfigOption, PrefixOption, load_settings
from agents.cli.sending import Meter, refused, stop_on_signals
from streams.clock import monotonic, now_ms
from streams.settings import Settings
from streams.simulate import Options, OptionsError, Simulator, Truth

__all__ = ["drive", "simulate"]

BATCH = 5_000
TICK = 0.05
"""Seconds between two writes of a paced run: what an event waits at most before it leaves."""

UNPACED_RATE = 1_000.0
"""Events for each second of event time when there is no pace."""


def simulate(
    config: ConfigOption = None,
    broker: BrokerOption = None,
    topic_prefix: PrefixOption = None,
    rate: Annotated[float, typer.Option(help="Records a second; 0: as fast as possible, event times end now.")] = 200,
    seconds: Annotated[float, typer.Option(help="How long, in event time; 0: no end.")] = 0,
    events: Annotated[int, typer.Option(help="How many records; 0: no end.")] = 0,
    seed: Annotated[int, typer.Option(help="The same seed and start give the same bytes.")] = 1,
    start: Annotated[str | None, typer.Option(help="Event time of the first record, RFC 3339 (default: now).")] = None,
    users: Annotated[int, typer.Option(help="How many users there are.")] = 20_000,
    campaigns: Annotated[int, typer.Option(help="How many campaigns, at least 8 (one per channel).")] = 40,
    currencies: Annotated[str, typer.Option(help="Currencies of campaigns, separated by commas.")] = "EUR",
    duplicates: Annotated[float, typer.Option(help="Share of exact repeats, 0 to 1.")] = 0,
    conflicts: Annotated[float, typer.Option(help="Share of repeats that say something else.")] = 0,
    late: Annotated[float, typer.Option(help="Share of late events: seconds to hours.")] = 0,
    hostile: Annotated[float, typer.Option(help="Share of records that no worker may count.")] = 0,
    day_curve: Annotated[bool, typer.Option(help="Let the rate follow the hours of the day.")] = False,
    truth: Annotated[Path | None, typer.Option(help="Write the exact expected totals to this file.")] = None,
) -> None:
    """Send simulated journeys over eight channels: impressions, clicks, visits, orders, refunds, social."""
    settings = load_settings(config, broker=broker, topic_prefix=topic_prefix).settings
    if not rate and not events and not seconds:
        raise UserError("--rate 0: a run as fast as possible needs an end; give --events or --seconds too")
    if truth is not None and not truth.absolute().parent.is_dir():
        raise UserError(f"--truth {truth}: there is no folder {truth.parent}; make it first")
    pace = rate or UNPACED_RATE
    length_ms = int((events / pace if events else seconds) * 1_000)
    try:
        options = Options(
            seed=seed, start_ms=_start(start, 0 if rate else length_ms), rate=pace, events=events, seconds=seconds,
            users=users, campaigns=campaigns, day_curve=day_curve,
            currencies=tuple(currencies.split(",")), duplicates=duplicates, conflicts=conflicts,
            late=late, hostile=hostile)
    except OptionsError as error:
        raise UserError(f"--{str(error).replace('_', '-')}") from None
    asyncio.run(_run(settings, options, paced=bool(rate), file=truth))


async def _run(settings: Settings, options: Options, *, paced: bool, file: Path | None) -> None:
    total = options.events or int(options.seconds * options.rate) or None
    stop = stop_on_signals(asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM))
    truth = Truth() if file is not None else None
    how = f"{options.rate:,.0f} records/s" if paced else "as fast as possible"
    print(f"simulate: to {settings.broker}, {how}{'' if total else ', until Ctrl-C'}", flush=True)
    with Meter("simulate", total=total) as meter:
        finished = await drive(settings, options, paced=paced, truth=truth, stop=stop, sent=meter.add)
    if file is not None and truth is not None:
        truth.write(file, options=options.as_dict(), finished=finished)
    print(f"simulate: {meter.summary()}{'' if finished else '; stopped'}{f'; truth in {file}' if file else ''}")


async def drive(
    settings: Settings,
    options: Options,
    *,
    paced: bool = True,
    truth: Truth | None = None,
    stop: asyncio.Event | None = None,
    sent: Callable[[int], None] = lambda count: None,
) -> bool:
    """Send a run to the broker, campaigns first; return whether it came to its end before ``stop`` was set.

    ``truth`` is counted along, ``sent`` is told of every acknowledged lot.

    Raises:
        UserError: when the broker cannot be reached or its topics cannot be used.
    """
    from streams.kafka.admin import ensure_topics
    from streams.kafka.produce import KeyedWriter

    stop = stop or asyncio.Event()
    simulator = Simulator(options, truth=truth)
    with refused(settings.broker):
        await ensure_topics(settings.broker, settings)
        async with KeyedWriter(settings.broker) as writer:
            await writer.write(settings.topic("campaigns"), simulator.references())
            began = monotonic()
            writing: asyncio.Future[list[int]] | None = None
            while not simulator.finished and not stop.is_set():
                until = options.start_ms + (monotonic() - began) * 1_000 if paced else None
                lot = simulator.batch(BATCH, until_ms=until)
                if writing is not None:
                    sent(sum(await writing))
                rows: dict[str, list[tuple[bytes | None, bytes | None]]] = {}
                for topic, key, value in lot:
                    rows.setdefault(topic, []).append((key, value))
                writing = asyncio.gather(*(writer.write(settings.topic(t), part) for t, part in rows.items()))
                await _pause(stop, TICK if paced and len(lot) < BATCH else 0)
            if writing is not None:
                sent(sum(await writing))
    return simulator.finished


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Let other tasks run; with ``seconds``, wait that long or until ``stop``."""
    if not seconds:
        await asyncio.sleep(0)
        return
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _start(text: str | None, length_ms: int) -> int:
    """Return the event time to begin with."""
    now = now_ms()
    if text is None:
        return now - length_ms
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UserError(f"--start {text}: is no time; give one with its offset, as 2026-01-31T09:00:00Z")
    start = int(moment.timestamp() * 1_000)
    if start + length_ms > now:
        raise UserError(f"--start {text}: the run would end in the future, and such events are rejected; begin earlier")
    return start
