"""Child processes of ``up``: real ones, in tiny Python scripts."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.cli.children import MAX_LINE, Backoff, Children, Program, describe_end
from streams.clock import monotonic
from tests.waiting import ROOT, alive, until, wait_for

READY = "print('ready', os.getpid(), flush=True)\n"
SLEEP = "import os, signal, time\n" + READY + "time.sleep(600)\n"
STUBBORN = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(600)\n"


class Stage:
    """Children whose output is collected."""

    def __init__(self, *, kill_after: float = 5.0, backoff: Backoff | None = None) -> None:
        self.lines: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.children = Children(
            lambda name, line: self.lines.append((name, line)),
            self.said.append,
            backoff=backoff or Backoff(first=0.01),
            kill_after=kill_after,
        )

    def start(self, script: str, name: str = "one", *, restart: bool = True) -> None:
        """Run a Python script as a child."""
        command = (sys.executable, "-c", script)
        self.children.start(Program(name, command, lambda: dict(os.environ), restart=restart))

    def ready_pids(self) -> list[int]:
        """Return the pids that children have printed."""
        return [int(line.split()[1]) for _name, line in self.lines if line.startswith("ready ")]


@pytest.fixture
async def stage():
    """Yield a stage that ends its children."""
    stages: list[Stage] = []

    def make(**options: object) -> Stage:
        stages.append(Stage(**options))  # type: ignore[arg-type]
        return stages[-1]

    yield make
    for each in stages:
        each.children.kill()
        await each.children.stop()


Make = Callable[..., Stage]


async def test_lines_come_with_the_name_of_their_child(stage: Make) -> None:
    """Output and errors of a child arrive line by line, the last one without its line end too."""
    here = stage()
    here.start("import sys\nprint('first')\nsys.stdout.flush()\nsys.stderr.write('second')", "worker 1", restart=False)
    await until(lambda: len(here.lines) == 2)
    assert here.lines == [("worker 1", "first"), ("worker 1", "second")]


async def test_a_crashed_child_starts_again_and_one_line_says_so(stage: Make) -> None:
    """Each crash is said in one line with the reason and the wait."""
    here = stage()
    here.start("import os\n" + READY + "raise SystemExit(7)")
    await until(lambda: len(here.ready_pids()) >= 2)
    assert here.said[0] == "one ended with exit code 7; starting it again in 0.01 s"


async def test_a_killed_child_starts_again(stage: Make) -> None:
    """A kill -9 of the worker itself is seen, whatever runs around it."""
    here = stage()
    here.start(SLEEP)
    await until(here.ready_pids)
    os.kill(here.ready_pids()[0], signal.SIGKILL)
    await until(lambda: len(here.ready_pids()) == 2)
    assert here.said == ["one was killed (SIGKILL); starting it again in 0.01 s"]


async def test_a_killed_guard_leaves_nothing_behind(stage: Make) -> None:
    """If what watches a child is killed, the child goes too, before the next one starts."""
    here = stage()
    here.start(SLEEP)
    await until(here.ready_pids)
    first = here.ready_pids()[0]
    os.kill(here.children.guards()["one"], signal.SIGKILL)
    await until(lambda: len(here.ready_pids()) == 2)
    await until(lambda: not alive(first))


async def test_exit_code_2_is_not_repeated(stage: Make) -> None:
    """A child that was given something wrong would only say so again."""
    here = stage()
    here.start("print('error: broker: …')\nraise SystemExit(2)")
    await asyncio.wait_for(here.children.refused.wait(), 20)
    assert here.said == []
    assert here.children.guards() == {}


async def test_a_child_that_need_not_run_for_ever_just_ends(stage: Make) -> None:
    """Without restart the end is said, once."""
    here = stage()
    here.start("pass", restart=False)
    await until(lambda: here.said)
    assert here.said == ["one ended"]


async def test_stop_ends_children_and_what_they_ignore_is_killed(stage: Make) -> None:
    """SIGTERM first, SIGKILL for who does not listen."""
    here = stage(kill_after=0.3)
    here.start(SLEEP, "willing")
    here.start(STUBBORN, "stubborn")
    await until(lambda: len(here.ready_pids()) == 2)
    await here.children.stop()
    assert not any(alive(pid) for pid in here.ready_pids())
    assert here.said == []


async def test_stop_during_the_wait_for_a_restart(stage: Make) -> None:
    """A child that waits to be started again is not started again."""
    here = stage(backoff=Backoff(first=600))
    here.start("raise SystemExit(1)")
    await until(lambda: here.said)
    began = monotonic()
    await here.children.stop()
    assert monotonic() - began < 60


async def test_the_end_of_a_child_does_not_wait_for_its_own_children(stage: Make) -> None:
    """A grandchild that keeps the pipe open does not hide the crash."""
    here = stage()
    script = "import subprocess, sys, os\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\n"
    here.start(script + READY + "sys.stdout.flush()\nos._exit(1)")
    await until(lambda: len(here.said) >= 1)
    assert here.said[0].startswith("one ended with exit code 1")


async def test_a_line_without_end_does_not_fill_our_memory(stage: Make) -> None:
    """Very long lines are cut, and the next line is whole."""
    here = stage()
    here.start(f"print('x' * {10 * MAX_LINE})\nprint('next')", restart=False)
    await until(lambda: here.lines and here.lines[-1][1] == "next")
    assert all(len(line) <= 3 * MAX_LINE for _name, line in here.lines)


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """kill -9 of the parent: the pipe closes, and that ends even a stubborn child."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from agents.cli.children import Children, Program\n"
        "async def main():\n"
        "    children = Children(lambda name, line: print(line, flush=True), print, kill_after=0.3)\n"
        f"    for name, code in (('a', {SLEEP!r}), ('b', {STUBBORN!r})):\n"
        "        children.start(Program(name, (sys.executable, '-c', code), lambda: dict(os.environ)))\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    out = tmp_path / "out"
    with out.open("wb") as file:
        parent = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=file)
    wait_for(lambda: out.read_text().count("ready") == 2)
    parent.kill()
    parent.wait()
    pids = [int(line.split()[1]) for line in out.read_text().splitlines()]
    wait_for(lambda: not any(alive(child) for child in pids))


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "ended"), (3, "ended with exit code 3"), (143, "was killed (SIGTERM)"), (255, "ended with exit code 255")],
)
def test_how_a_process_ended(code: int, text: str) -> None:
    """Exit codes in words."""
    assert describe_end(code) == text
