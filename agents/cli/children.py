"""Child processes of ``up``: their lines prefixed, crashed ones started again, none left behind.

Every child runs under :mod:`streams.kafka.guard`, in a session of its own. So Ctrl-C in the terminal reaches ``up``
alone, which ends the children in order; and when ``up`` itself is killed, even with -9, the guards end them.

Easy to get wrong: a child whose own child keeps the pipe open never gives an end of file, so the end of a child is the
end of its *process*, not of its output. asyncio's own pipes make ``Process.wait`` wait for both (Python 3.11), so the
pipes here are ours.
"""

import asyncio
import os
import signal
from asyncio.subprocess import STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from agents.cli.errors import MISTAKE
from streams.clock import monotonic
from streams.kafka.guard import guarded_command

__all__ = ["Backoff", "Children", "Program", "describe_end"]

MAX_LINE = 65_536
"""Longer lines are cut, so that a child cannot fill our memory."""


OUTPUT_SECONDS = 0.5
"""How long the last lines of an ended child may take to arrive."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before a crashed child starts again: doubling, and from the start after a steady run."""

    first: float = 0.5
    most: float = 30.0
    steady: float = 60.0

    def next(self, before: float | None, ran: float) -> float:
        """Return the seconds to wait now, given the wait before and how long the child then ran.

        >>> [Backoff().next(before, ran=1.0) for before in (None, 0.5, 16.0, 30.0)]
        [0.5, 1.0, 30.0, 30.0]
        >>> Backoff().next(30.0, ran=61.0)
        0.5
        """
        return self.first if before is None or ran >= self.steady else min(2 * before, self.most)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run under which name."""

    name: str
    command: tuple[str, ...]
    environment: Callable[[], dict[str, str]]
    """Asked at each start: a restarted worker may need another port."""
    restart: bool = True


@dataclass(slots=True)
class _Running:
    program: Program
    task: asyncio.Task[None]
    process: Process | None = None
    lifeline: int | None = None
    """Our end of the pipe that the guard watches."""

    def cut(self) -> None:
        """Tell the guard to end what it guards."""
        if self.lifeline is not None:
            os.close(self.lifeline)
            self.lifeline = None


@dataclass(slots=True)
class Children:
    """The children of one ``up``."""

    show: Callable[[str, str], None]
    """Called with the child's name and a line of its output."""
    say: Callable[[str], None]
    """Called with a line of our own."""
    backoff: Backoff = field(default_factory=Backoff)
    kill_after: float = 5.0
    """Seconds between SIGTERM and SIGKILL."""
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a child ended with exit code 2: its last line says what the user has to mend."""
    _running: dict[str, _Running] = field(default_factory=dict)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, program: Program) -> None:
        """Run the program now, and again whenever it crashes."""
        self._running[program.name] = _Running(program, asyncio.create_task(self._keep(program)))

    def guards(self) -> dict[str, int]:
        """Return the pid of each running child's guard."""
        return {name: run.process.pid for name, run in self._running.items() if run.process is not None}

    async def stop(self) -> None:
        """End all children: SIGTERM, after ``kill_after`` seconds SIGKILL."""
        self._stopping.set()
        for run in self._running.values():
            run.cut()
        tasks = [run.task for run in self._running.values()]
        if not tasks:
            return
        _done, late = await asyncio.wait(tasks, timeout=self.kill_after + 1)
        if late:
            self.kill()
            await asyncio.wait(late, timeout=1)

    def kill(self) -> None:
        """End all children at once, with SIGKILL."""
        self._stopping.set()
        for run in self._running.values():
            if run.process is not None:
                _kill_group(run.process)

    async def _keep(self, program: Program) -> None:
        wait: float | None = None
        while not self._stopping.is_set():
            began = monotonic()
            code = await self._run(program)
            if self._stopping.is_set():
                return
            if code == MISTAKE:
                self.refused.set()
                return
            if not program.restart:
                self.say(f"{program.name} {describe_end(code)}")
                return
            wait = self.backoff.next(wait, monotonic() - began)
            self.say(f"{program.name} {describe_end(code)}; starting it again in {wait:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), wait)

    async def _run(self, program: Program) -> int:
        run = self._running[program.name]
        lifeline_end, run.lifeline = os.pipe()
        output_fd, output_end = os.pipe()
        try:
            process = run.process = await asyncio.create_subprocess_exec(
                *guarded_command(list(program.command), kill_after=self.kill_after),
                stdin=lifeline_end,
                stdout=output_end,
                stderr=STDOUT,
                env=program.environment(),
                start_new_session=True,
            )
        finally:
            os.close(lifeline_end)
            os.close(output_end)
        if self._stopping.is_set():  # stop() came while it started
            run.cut()
        output = asyncio.create_task(self._pass_on(program.name, output_fd))
        try:
            code = await process.wait()
            await asyncio.wait({output}, timeout=OUTPUT_SECONDS)
        finally:
            output.cancel()
            run.process = None
            run.cut()
        if code < 0:  # the guard itself was killed: nobody else ends what it guarded
            _kill_group(process)
        return code

    async def _pass_on(self, name: str, output_fd: int) -> None:
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        pipe = os.fdopen(output_fd, "rb", 0)
        transport, _protocol = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        try:
            async for line in _lines(stream):
                self.show(name, line)
        finally:
            transport.close()


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    rest = b""
    while chunk := await stream.read(MAX_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield _text(line)
        rest = rest[:MAX_LINE]
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


def describe_end(code: int) -> str:
    """Return how a process ended, as a person would say it.

    >>> describe_end(1), describe_end(137), describe_end(-15), describe_end(0)
    ('ended with exit code 1', 'was killed (SIGKILL)', 'was killed (SIGTERM)', 'ended')
    """
    if code == 0:
        return "ended"
    number = -code if code < 0 else code - 128
    if number > 0:
        with suppress(ValueError):
            return f"was killed ({signal.Signals(number).name})"
    return f"ended with exit code {code}"


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
