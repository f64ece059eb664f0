"""A real Prometheus for tests: scrapes given targets every second, answers PromQL, forgets everything at the end.

Needs the Debian package ``prometheus`` (or ``prometheus`` on the path): mark tests with
``pytest.mark.prometheus``, then they are skipped elsewhere.

Easy to get wrong: a fresh value is visible only after the next scrape, so wait for a condition instead of asking once;
and targets may come and go (a restarted worker has another port), so they are given by :meth:`Prometheus.scrape`.
"""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from streams.kafka.broker import free_port
from streams.kafka.guard import guarded_command

__all__ = ["Prometheus", "Sample"]

READY_SECONDS = 30.0

CONFIG = """\
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: campaignwatch
    file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]
"""

Sample = tuple[dict[str, str], float]
"""Labels and value of one series."""


class Prometheus:
    """One Prometheus process on a free loopback port, in a temporary folder."""

    def __init__(self, targets: Iterable[str] = ()) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="campaignwatch-prometheus-"))
        (self.folder / "prometheus.yml").write_text(CONFIG, encoding="utf-8")
        self.scrape(targets)
        self._process: subprocess.Popen[bytes] | None = None

    def scrape(self, targets: Iterable[str]) -> None:
        """Scrape these ``host:port`` from now on, and no others."""
        groups = json.dumps([{"targets": list(targets)}])
        fresh = self.folder / "targets.new"
        fresh.write_text(groups, encoding="utf-8")
        fresh.replace(self.folder / "targets.json")

    def query(self, expr: str) -> list[Sample]:
        """Return the result of an instant query, a scalar as one sample without labels."""
        data = self._get("/api/v1/query?" + urlencode({"query": expr}))["data"]
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(series["metric"], float(series["value"][1])) for series in data["result"]]

    def value(self, expr: str) -> float | None:
        """Return the value of a query with one series, ``None`` without any."""
        samples = self.query(expr)
        if len(samples) > 1:
            raise ValueError(f"{expr} has {len(samples)} series, not one")
        return samples[0][1] if samples else None

    def wait_for(self, expr: str, condition: Callable[[float | None], bool], seconds: float = 30.0) -> float | None:
        """Return the value of ``expr`` as soon as ``condition`` holds for it; fail with the last one otherwise."""
        deadline = time.monotonic() + seconds
        while not condition(value := self.value(expr)):
            if time.monotonic() > deadline:
                raise AssertionError(f"{expr} is {value} after {seconds:.0f} s")
            time.sleep(0.2)
        return value

    def __enter__(self) -> Self:
        argv = ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data"]
        argv += [f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        log_path = self.folder / "prometheus.log"
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                guarded_command(argv, kill_after=5), stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = log_path.read_text()
                self.__exit__(None, None, None)
                raise RuntimeError(f"Prometheus does not start:\n{text[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _get(self, path: str) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found
