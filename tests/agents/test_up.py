"""``up --demo`` from the first line to the last process, as a person runs it."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.clock import monotonic
from streams.kafka.broker import free_port
from streams.scrape import parse
from tests.waiting import ROOT, alive, wait_for

END_SECONDS = 10.0
"""What we promise from Ctrl-C to the last process."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Up:
    """A running ``campaignwatch up`` in a session of its own, as a terminal gives it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.output = folder / "output"
        self.state = folder / "state"
        env = {key: value for key, value in os.environ.items() if not key.startswith("CAMPAIGNWATCH_")}
        env |= {
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "CAMPAIGNWATCH_STATE_DIR": str(self.state),
            "CAMPAIGNWATCH_BOARD_PORT": str(free_port()),
            "CAMPAIGNWATCH_METRICS_PORT": str(free_port()),
        }
        command = [sys.executable, "-m", "agents.cli.main", "up", *options]
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def text(self) -> str:
        """All that was printed so far."""
        return self.output.read_text(errors="replace")

    @property
    def url(self) -> str | None:
        """The address of the page, once it is printed."""
        found = re.search(r"the page is at (\S+)", self.text)
        return found[1] if found else None

    def get(self, path: str) -> str:
        """Return a page of the board."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:
            text: str = response.read().decode()
            return text

    def impressions(self) -> dict[str, int]:
        """Return impressions by channel, as /metrics has them."""
        found: Counter[str] = Counter()
        for sample in parse(self.get("metrics")):
            if sample.name == "campaignwatch_impressions_total":
                found[sample.labels["channel"]] += int(sample.value)
        return found

    def wait_for_url(self) -> None:
        """Wait until the page is there, or fail with what was printed."""
        wait_for(lambda: self.url or self.process.poll() is not None, 60)
        assert self.url, self.text

    def descendants(self) -> list[int]:
        """Return the pids of all processes below."""
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        children: dict[int, list[int]] = {}
        for line in listing.splitlines():
            pid, parent = map(int, line.split())
            children.setdefault(parent, []).append(pid)
        found, todo = [], [self.process.pid]
        while todo:
            below = children.get(todo.pop(), [])
            found += below
            todo += below
        return found

    def assert_gone(self, pids: list[int], began: float) -> None:
        """Wait until the process and all these are gone, which may take what we promise."""
        assert len(pids) >= 6, "workers, traffic, broker and their guards"
        self.process.wait(60)
        wait_for(lambda: not any(alive(pid) for pid in pids), 60)
        assert monotonic() - began < END_SECONDS


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``up``; whatever is left of it at the end is killed."""
    started: list[Up] = []

    def run(*options: str) -> Up:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Up(folder, *options))
        return started[-1]

    yield run
    for up in started:
        left = [up.process.pid, *up.descendants()]
        for pid in left:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        up.process.wait()


def test_the_demo_moves_and_ctrl_c_ends_it(start: Start) -> None:
    """One address; numbers of at least five channels move on it; Ctrl-C leaves no process and no folder."""
    up = start("--demo")
    up.wait_for_url()
    assert "<title>campaignwatch</title>" in up.get("")
    wait_for(lambda: len(up.impressions()) >= 5, 60)
    before = up.impressions()
    wait_for(lambda: sum(count > before.get(channel, 0) for channel, count in up.impressions().items()) >= 5, 60)
    wait_for(lambda: "healthy" in up.get("healthz"), 60)
    assert up.text.count("http://") - up.text.count("metrics=http://") == 1
    assert len(list(up.state.iterdir())) == 1
    pids = up.descendants()
    began = monotonic()
    os.killpg(up.process.pid, signal.SIGINT)
    up.assert_gone(pids, began)
    assert up.process.returncode == 0
    assert "Traceback" not in up.text
    assert list(up.state.iterdir()) == []


def test_a_killed_worker_starts_again(start: Start) -> None:
    """One line says so, and the numbers go on."""
    up = start("--demo")
    up.wait_for_url()
    wait_for(lambda: len(up.impressions()) >= 5, 60)
    listing = subprocess.run(["ps", "-A", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    mine = set(up.descendants())
    workers = [
        pid
        for pid, args in ((int(line.split()[0]), line) for line in listing.splitlines())
        if pid in mine and args.endswith("main worker") and "guard.py" not in args
    ]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    wait_for(lambda: re.search(r"^worker . was killed \(SIGKILL\); starting it again in 0.5 s$", up.text, re.M), 30)
    before = sum(up.impressions().values())
    wait_for(lambda: len(up.impressions()) >= 5 and sum(up.impressions().values()) > before, 90)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_nothing_is_left_however_it_ends(start: Start, number: signal.Signals) -> None:
    """A stop from outside, a closed terminal, kill -9."""
    up = start("--demo")
    up.wait_for_url()
    wait_for(lambda: up.text.count("worker starts") == 2, 60)
    pids = up.descendants()
    began = monotonic()
    up.process.send_signal(number)
    up.assert_gone(pids, began)


def test_ctrl_c_twice_and_during_the_start(start: Start) -> None:
    """Impatience at any moment leaves nothing either."""
    up = start("--demo")
    wait_for(lambda: "broker: embedded" in up.text, 60)
    os.killpg(up.process.pid, signal.SIGINT)
    os.killpg(up.process.pid, signal.SIGINT)
    began = monotonic()
    pids = up.descendants()
    up.process.wait(60)
    wait_for(lambda: not any(alive(pid) for pid in pids), 60)
    assert monotonic() - began < END_SECONDS
    assert "Traceback" not in up.text


def test_a_second_run_finds_taken_ports_and_says_so(start: Start) -> None:
    """Two of them on one machine do not meet: each has its own broker, page and workers."""
    up = start("--demo")
    up.wait_for_url()
    assert up.url
    port = up.url.rstrip("/").rpartition(":")[2]
    other = start("--demo", "--board-port", port)
    other.wait_for_url()
    assert f"page: port {port} is taken, it listens on " in other.text
    assert re.search(r"broker: port \d+ is taken, it listens on \d+", other.text)


def test_a_broker_that_is_not_there_is_one_line(start: Start) -> None:
    """Nothing is started, and the line says what to look at."""
    up = start("--demo", "--broker", "127.0.0.1:1")
    assert up.process.wait(60) == 2
    *_, last = up.text.strip().splitlines()
    assert last.startswith("error: broker 127.0.0.1:1: ")
    assert "Traceback" not in up.text
