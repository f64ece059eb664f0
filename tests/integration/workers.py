"""Worker processes as a user runs them, and what their /metrics say."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.waiting import wait_for

__all__ = ["HASH_KEY", "Worker", "free_port", "metric_sum", "running"]

HASH_KEY = "integration-tests-only"
_SAMPLE = re.compile(r"^(?P<name>[a-z_:]+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Worker:
    """One `campaignwatch worker` process."""

    environment: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None
    starts: int = 0

    def start(self) -> None:
        """Start the process (again)."""
        environment = {**os.environ, **self.environment, "CAMPAIGNWATCH_METRICS_PORT": str(self.port)}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "agents.cli.main", "worker"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self.starts += 1

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL the process is gone."""
        assert self.process is not None
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def alive(self) -> bool:
        """Tell whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def metrics(self) -> str:
        """Return the text of /metrics, "" while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def stop(self) -> None:
        """End the process gently, then hard."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(count: int, bootstrap: str, prefix: str, folder: Path, **settings: object) -> Iterator[list[Worker]]:
    """Run ``count`` workers; their log is shown when the test fails."""
    environment = {
        "CAMPAIGNWATCH_BROKER": bootstrap,
        "CAMPAIGNWATCH_TOPIC_PREFIX": prefix,
        "CAMPAIGNWATCH_HASH_KEY": HASH_KEY,
        "CAMPAIGNWATCH_STATE_DIR": str(folder / "state"),
        **{f"CAMPAIGNWATCH_{name.upper()}": str(value) for name, value in settings.items()},
    }
    workers = [Worker(environment, folder / f"worker-{number}.log") for number in range(count)]
    try:
        for worker in workers:
            worker.start()
        wait_for(lambda: all("campaignwatch_" in w.metrics() for w in workers), 60, "workers serve /metrics")
        yield workers
    except BaseException:
        for worker in workers:
            print(f"--- {worker.log.name}\n{worker.log.read_text()[-4_000:]}")
        raise
    finally:
        for worker in workers:
            worker.stop()


def metric_sum(text: str, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples whose labels include ``labels``.

    >>> metric_sum('a_total{x="1"} 2\\na_total{x="2"} 3\\n', "a_total", x="2")
    3.0
    """
    total = 0.0
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample and sample["name"] == name:
            found = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"] or ""))
            if labels.items() <= found.items():
                total += float(sample["value"])
    return total
