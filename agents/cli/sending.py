"""What the commands that send have in common: a bar, a clean end, one line when the broker refuses.

Easy to get wrong: a bar belongs on a terminal only, and never in the output that somebody pipes on.
"""

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agents.cli.errors import UserError
from streams.clock import monotonic

__all__ = ["Meter", "refused", "stop_on_signals"]


class Meter:
    """Counts what was sent and shows it on standard error, if that is a terminal."""

    def __init__(self, name: str, *, total: int | None, console: Console | None = None) -> None:
        self.sent = 0
        self._name = name
        self._began = monotonic()
        console = console or Console(stderr=True)
        done = TextColumn("{task.fields[rate]}")
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), done, TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(name, total=total, rate="")

    def add(self, records: int, *, position: int | None = None) -> None:
        """Count records; the bar moves to ``position``, or by as many as were sent."""
        self.sent += records
        self._progress.update(self._task, completed=self.sent if position is None else position,
                              rate=f"{self.sent:,} records, {self.rate:,.0f}/s")

    @property
    def rate(self) -> float:
        """Records a second so far."""
        return self.sent / max(monotonic() - self._began, 1e-6)

    def summary(self) -> str:
        """Return what was sent, as part of a line."""
        return f"{self.sent:,} records sent in {monotonic() - self._began:.1f} s ({self.rate:,.0f}/s)"

    def __enter__(self) -> Self:
        self._began = monotonic()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


def stop_on_signals(loop: asyncio.AbstractEventLoop, signals: Sequence[signal.Signals]) -> asyncio.Event:
    """Return an event that the first of ``signals`` sets; a second one ends the process as usual."""
    stop = asyncio.Event()

    def ask() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, ask)
    return stop


@contextmanager
def refused(broker: str) -> Iterator[None]:
    """Turn what the broker refuses into one line for the user."""
    from aiokafka.errors import KafkaError

    from streams.kafka.admin import TopicsError

    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # else its warnings stand above our one line
    try:
        yield
    except TopicsError as error:
        raise UserError(str(error)) from error
    except KafkaError as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"broker {broker}: {reason}; see whether it still runs, then send again") from error
