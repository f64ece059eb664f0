"""What ``up`` runs, with tiny scripts in the place of workers."""

import asyncio
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agents.cli import deployment
from agents.cli.deployment import Deployment
from agents.cli.errors import MISTAKE, UserError
from agents.cli.options import Loaded
from streams.kafka.broker import free_port
from streams.settings import Settings, load
from tests.waiting import until

SHOW = "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(600)"


class Terminal(Console):
    """A console that keeps its lines."""

    def __init__(self) -> None:
        self.out: list[str] = []
        super().__init__()

    def print(self, text: object) -> None:  # type: ignore[override]
        """Keep a line."""
        self.out.append(str(text))


@pytest.fixture
def settings(prefix: str, tmp_path: Path) -> Settings:
    """Settings on free ports."""
    return Settings(
        topic_prefix=prefix,
        hash_key="k" * 32,
        state_dir=tmp_path,
        board_port=free_port(),
        metrics_port=free_port(),
    )


def make(settings: Settings, monkeypatch: pytest.MonkeyPatch, script: str, *given: str) -> tuple[Deployment, Terminal]:
    """Return a deployment whose workers run ``script``; ``given`` are the settings that somebody set."""
    monkeypatch.setattr(deployment, "_command", lambda *_arguments: (sys.executable, "-c", script))
    terminal = Terminal()
    loaded = Loaded(settings, dict.fromkeys(given, "command line"), None)
    return Deployment(loaded, demo=False, console=terminal), terminal


async def test_workers_get_exactly_our_settings_and_each_its_port(
    settings: Settings, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By environment, and no file is read again; what else began with our prefix is not passed on."""
    monkeypatch.setenv("CAMPAIGNWATCH_PARTITIONS", "77")
    settings = replace(settings, broker=bootstrap)
    up, terminal = make(settings, monkeypatch, SHOW, "broker")
    running = asyncio.create_task(up.run())
    await until(lambda: sum("CAMPAIGNWATCH_BROKER" in line for line in terminal.out) == 2)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    shown = [line.partition(" | ") for line in terminal.out if "CAMPAIGNWATCH_BROKER" in line]
    given = {name: json.loads(text) for name, _, text in shown}
    ports = set()
    for env in given.values():
        assert env["CAMPAIGNWATCH_CONFIG"] == ""
        child = load(None, env)
        ports.add(child.metrics_port)
        assert replace(child, metrics_port=settings.metrics_port) == settings
    assert given.keys() == {"worker 1", "worker 2"}
    assert len(ports) == 2


async def test_a_worker_that_refuses_ends_everything(
    settings: Settings, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 of a worker is a mistake of the user: it is passed on and not tried again."""
    up, terminal = make(replace(settings, broker=bootstrap), monkeypatch, "raise SystemExit(2)", "broker")
    assert await up.run() == MISTAKE
    assert not any("starting it again" in line for line in terminal.out)


async def test_one_address_is_printed(settings: Settings, bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the page, and nobody has to choose."""
    up, terminal = make(replace(settings, broker=bootstrap), monkeypatch, "import time; time.sleep(600)", "broker")
    running = asyncio.create_task(up.run())
    await until(lambda: any("the page is at" in line for line in terminal.out))
    up.stop.set()
    await running
    assert [line for line in terminal.out if "http://" in line] == [
        f"the page is at http://127.0.0.1:{settings.board_port}/  (Ctrl-C ends everything)"
    ]


async def test_an_embedded_broker_that_dies_ends_everything(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it held is gone: going on with an empty one would show wrong numbers."""
    up, terminal = make(settings, monkeypatch, "import time; time.sleep(600)", "state_dir")
    running = asyncio.create_task(up.run())
    await until(lambda: any("the page is at" in line for line in terminal.out))
    assert up.embedded is not None
    assert len(list(settings.state_dir.iterdir())) == 1
    up.embedded.stop()
    assert await running == 1
    assert "broker: ended by itself, and what it held is gone; start again" in terminal.out
    assert list(settings.state_dir.iterdir()) == []


@pytest.mark.parametrize("key", ["board_host", "metrics_host"])
async def test_an_address_that_is_not_of_this_machine(
    settings: Settings, bootstrap: str, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """One line that names the setting."""
    settings = replace(settings, broker=bootstrap, **{key: "192.0.2.1"})  # type: ignore[arg-type]
    up, _terminal = make(settings, monkeypatch, "import time; time.sleep(600)", "broker", key)
    with pytest.raises(UserError, match=f"{key}.*192.0.2.1.*give an address of this machine"):
        await up.run()


async def test_a_state_folder_that_cannot_be_made(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line with the place of the setting."""
    (settings.state_dir / "file").write_text("")
    settings = replace(settings, state_dir=settings.state_dir / "file" / "state")
    up, _terminal = make(settings, monkeypatch, "", "state_dir")
    with pytest.raises(UserError, match="command line: state_dir: Not a directory; give the path of a folder"):
        await up.run()


async def test_a_closed_output_ends_everything(
    settings: Settings, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`campaignwatch up | head -3`: when nobody reads, nobody watches."""
    script = "print('x', flush=True); import time; time.sleep(600)"
    up, terminal = make(replace(settings, broker=bootstrap), monkeypatch, script, "broker")

    def broken(text: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(terminal, "print", broken)
    assert await asyncio.wait_for(up.run(), 60) == 0


async def test_a_second_signal_kills_at_once(
    settings: Settings, bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who presses Ctrl-C twice does not wait for a stubborn worker."""
    ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    script = f"{ignore}; print('ready', flush=True); time.sleep(600)"
    up, terminal = make(replace(settings, broker=bootstrap), monkeypatch, script, "broker")
    up.children.kill_after = 600
    running = asyncio.create_task(up.run())
    await until(lambda: sum(line.endswith("| ready") for line in terminal.out) == 2)
    os.kill(os.getpid(), signal.SIGINT)
    await until(lambda: any(line.startswith("ending") for line in terminal.out))
    os.kill(os.getpid(), signal.SIGINT)
    assert await asyncio.wait_for(running, 8) == 0
