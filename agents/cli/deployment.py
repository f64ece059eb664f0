"""What ``campaignwatch up`` runs: broker, topics, traffic, workers and page, from the first line to the last process.

The order is that of the data: a broker, its topics, the traffic (its campaigns should be there before the first worker
reads), the workers, the page. It ends in the other direction.

Easy to get wrong: the embedded broker is empty after each start, so local state from an earlier run would be of another
log; it gets a fresh folder. And nothing may outlive us, however we end: see :mod:`agents.cli.children`.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from agents.cli.children import Children, Program
from agents.cli.errors import MISTAKE, UserError
from agents.cli.options import CONFIG_VARIABLE, Loaded
from streams.settings import Settings
from streams.settings_source import ENV_PREFIX

__all__ = ["Deployment"]

END_SECONDS = 9.0
"""All must be over by then; what is not is killed."""

LOOK_SECONDS = 0.5
"""Pause between two looks at the embedded broker."""

PORT_TRIES = 100
"""Ports that are tried for a worker, from its first one up."""

DEMO = ("--rate", "200", "--duplicates", "0.01", "--late", "0.002", "--hostile", "0.001")
"""Traffic of the demo: lively on the page, idle for the machine, and with something in each column of the ledger."""

COLOURS = ("cyan", "magenta", "green", "yellow", "blue")


@dataclass(slots=True)
class Deployment:
    """One run of ``up``."""

    loaded: Loaded
    demo: bool
    console: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False))
    settings: Settings = field(init=False)
    children: Children = field(init=False)
    ports: dict[str, int] = field(default_factory=dict)
    """The metrics port of each worker."""
    embedded: Any = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    code: int = 0

    def __post_init__(self) -> None:
        self.settings = self.loaded.settings
        self.children = Children(self._show, self._say)

    async def run(self) -> int:
        """Start, wait for the end, end everything; return the exit code."""
        self._listen_for_signals()
        resources = AsyncExitStack()
        try:
            if await self._unless_stopped(self._start(resources)):
                await self._wait()
            return self.code
        finally:
            await self._end(resources)

    async def _start(self, resources: AsyncExitStack) -> None:
        await self._start_broker(resources)
        await self._create_topics()
        resources.push_async_callback(self.children.stop)
        if self.demo:
            self.children.start(Program("traffic", self._simulate(), self._environment, restart=False))
        for number in range(1, self.settings.workers + 1):
            name = f"worker {number}"
            self.ports[name] = self._port_for(name)
            self.children.start(Program(name, _command("worker"), partial(self._worker_environment, name)))
        url = await self._start_board(resources)
        self._print(Text.assemble("the page is at ", (url, "bold underline"), "  (Ctrl-C ends everything)"))

    async def _start_broker(self, resources: AsyncExitStack) -> None:
        if "broker" in self.loaded.places:
            return
        from streams.kafka.broker import EmbeddedBroker

        folder = Path(tempfile.mkdtemp(prefix="campaignwatch-", dir=self._state_parent()))
        resources.callback(shutil.rmtree, folder, ignore_errors=True)
        host, _, port = self.settings.broker.rpartition(":")
        broker = EmbeddedBroker(host, int(port), log_path=folder / "broker.log")
        resources.push_async_callback(asyncio.to_thread, broker.stop)
        await _in_thread(broker.start)
        self.embedded = broker
        if broker.port_was_taken:
            self._say(f"broker: port {port} is taken, it listens on {broker.port}")
        self._say(f"broker: embedded, in memory, on {broker.bootstrap}; what it holds ends with this run")
        self.settings = replace(self.settings, broker=broker.bootstrap, state_dir=folder / "state")

    def _state_parent(self) -> Path | None:
        if "state_dir" not in self.loaded.places:
            return None
        try:
            self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"{error.strerror}; give the path of a folder you may write to"
            raise UserError(f"{self._place('state_dir')}: state_dir: {reason}") from None
        return self.settings.state_dir

    async def _create_topics(self) -> None:
        from streams.kafka.admin import ensure_topics

        created = await ensure_topics(self.settings.broker, self.settings)
        self._say(f"topics: {len(created)} created" if created else "topics: all there")

    async def _start_board(self, resources: AsyncExitStack) -> str:
        from agents.board.feed import Feed
        from agents.board.server import Board

        feed = Feed(
            lambda: {name: _address(self.settings.metrics_host, port) for name, port in self.ports.items()},
            lateness_ms=self.settings.allowed_lateness_ms,
            demo=self.demo,
        )
        board = Board(feed, self.settings.board_host, self.settings.board_port)
        resources.push_async_callback(board.stop)
        try:
            await board.start()
        except OSError as error:
            reason = f"the page cannot listen on {self.settings.board_host} ({error.strerror})"
            raise UserError(
                f"{self._place('board_host')}: board_host: {reason}; give an address of this machine"
            ) from None
        if board.port != self.settings.board_port:
            self._say(f"page: port {self.settings.board_port} is taken, it listens on {board.port}")
        return board.url

    def _port_for(self, name: str) -> int:
        """Return the worker's port, or the next free one: somebody else may have taken it while the worker was down."""
        from streams.kafka.broker import free_port, is_taken

        host, others = self.settings.metrics_host, {port for other, port in self.ports.items() if other != name}
        first = self.ports.get(name, self.settings.metrics_port)
        try:
            free_port(host)
        except OSError as error:
            reason = f"workers cannot listen on {host} ({error.strerror}); give an address of this machine"
            raise UserError(f"{self._place('metrics_host')}: metrics_host: {reason}") from None
        for port in range(first, min(first + PORT_TRIES, 65_536)):
            if port not in others and not is_taken(host, port):
                return port
        raise UserError(f"{self._place('metrics_port')}: metrics_port: {first} and those above are taken; give another")

    def _place(self, key: str) -> str:
        return self.loaded.places.get(key, "default")

    def _simulate(self) -> tuple[str, ...]:
        return _command("simulate", *DEMO)

    def _worker_environment(self, name: str) -> dict[str, str]:
        self.ports[name] = self._port_for(name)
        return {**self._environment(), f"{ENV_PREFIX}METRICS_PORT": str(self.ports[name])}

    def _environment(self) -> dict[str, str]:
        """Return our environment with exactly our settings: the file may have changed, so a child must not read it."""
        others = {key: value for key, value in os.environ.items() if not key.startswith(ENV_PREFIX)}
        ours = {CONFIG_VARIABLE: "", "PYTHONUNBUFFERED": "1", **_import_path()}
        return {**others, **self.settings.environment(), **ours}

    async def _wait(self) -> None:
        """Return when somebody wants an end, or when there is no point in going on."""
        refused = asyncio.create_task(self.children.refused.wait())
        stopped = asyncio.create_task(self.stop.wait())
        try:
            while not stopped.done():
                await asyncio.wait({refused, stopped}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if refused.done():
                    self.code = MISTAKE
                    return
                if self.embedded is not None and not self.embedded.running:
                    self._say("broker: ended by itself, and what it held is gone; start again")
                    self.code = 1
                    return
        finally:
            refused.cancel()
            stopped.cancel()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        task, stopped = asyncio.create_task(work), asyncio.create_task(self.stop.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            return False
        task.result()
        return True

    async def _end(self, resources: AsyncExitStack) -> None:
        if self.stop.is_set():
            self._say("ending (Ctrl-C again: at once)")
        try:
            async with asyncio.timeout(END_SECONDS):
                await resources.aclose()
        except TimeoutError:
            self._say("something did not end in time and is killed")
            self.children.kill()

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started under nohup: a closing terminal is no reason to end
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self.stop.is_set():
            self.children.kill()
        self.stop.set()

    def _say(self, line: str) -> None:
        self._print(Text(line))

    def _show(self, name: str, line: str) -> None:
        colour = COLOURS[sum(name.encode()) % len(COLOURS)]
        self._print(Text.assemble((f"{name} | ", colour), line))

    def _print(self, text: Text) -> None:
        try:
            self.console.print(text)
        except (OSError, SystemExit):  # nobody reads us any more (rich exits on a broken pipe): end as if told to
            self.console = Console(quiet=True)
            self.stop.set()


async def _in_thread(function: Any) -> None:
    """Run a blocking function to its end even if we are cancelled: what it starts must be there to be stopped."""
    task = asyncio.ensure_future(asyncio.to_thread(function))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _command(*arguments: str) -> tuple[str, ...]:
    # -P: a folder named `agents` where the user happens to be must not be taken for ours
    return (sys.executable, "-P", "-m", "agents.cli.main", *arguments)


def _import_path() -> dict[str, str]:
    """Return what makes a child find our packages also where they run from a checkout, not installed."""
    root = Path(__file__).resolve().parents[2]
    if root.name == "site-packages":  # on the path anyway; in front it would hide the standard library
        return {}
    return {"PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])}


def _address(host: str, port: int) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
