"""Brokers for the tests: the embedded one, or Apache Kafka in KRaft mode from its Maven Central artifacts.

``CAMPAIGNWATCH_TEST_BROKER`` chooses: ``embedded`` (the default) or ``apache``. The integration suite is the same for
both. ``python -m tests.brokers`` only fetches the jars, so that a script can tell "cannot be had" from "fails".

Easy to get wrong: when Apache Kafka was asked for and cannot be had, tests must fail, not skip.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from streams.kafka.broker import EmbeddedBroker, free_port
from streams.kafka.guard import guarded_command

__all__ = ["ApacheBroker", "Broker", "BrokerMissingError", "chosen_kind", "fetch_jars", "fresh_prefix", "new_broker"]

POM = Path(__file__).parent / "kafka" / "pom.xml"
CACHE = Path(__file__).parent.parent / ".cache" / "kafka"

READY_SECONDS = 90.0
"""A JVM on a loaded two-core machine; it usually takes five."""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=200
group.min.session.timeout.ms=1000
controlled.shutdown.enable=false
broker.heartbeat.interval.ms=300
broker.session.timeout.ms=2000
log.initial.task.delay.ms=500
"""


class BrokerMissingError(Exception):
    """Java, Maven or the artifacts are not there."""


class Broker(Protocol):
    """What a test may do with a broker."""

    @property
    def bootstrap(self) -> str: ...
    def start(self) -> Self: ...
    def stop(self) -> None: ...


class ApacheBroker:
    """One Apache Kafka node, broker and controller, on free loopback ports; its log lives in a temporary folder.

    ``stop()`` then ``start()`` is a restart on the same port with the same log; ``close()`` also removes the log.
    """

    def __init__(self) -> None:
        self.jars = fetch_jars()
        self.folder = Path(tempfile.mkdtemp(prefix="campaignwatch-kafka-"))
        self.port = free_port()
        self.log_path = self.folder / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None
        properties = PROPERTIES.format(port=self.port, controller=free_port(), data=self.folder / "data")
        self._properties = self.folder / "server.properties"
        self._properties.write_text(properties, encoding="utf-8")
        cluster = uuid.uuid4().hex[:22]
        format_log = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
        subprocess.run(format_log, check=True, capture_output=True, timeout=READY_SECONDS)

    @property
    def bootstrap(self) -> str:
        """Return ``host:port`` for Kafka clients."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start the node and return when it accepts connections."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                guarded_command(self._java("kafka.Kafka", str(self._properties)), kill_after=15),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"Apache Kafka does not start:\n{self.log_path.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End the node (SIGTERM, then SIGKILL) and keep its log."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)

    def close(self) -> None:
        """End the node and remove its log."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _java(self, main: str, *args: str) -> list[str]:
        options = ["-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-Dlog4j2.level=WARN"]
        return ["java", *options, "-cp", f"{self.jars}/*", main, *args]


def fetch_jars() -> Path:
    """Return the folder with Kafka's jars; Maven fills it once for each content of the pom.

    Raises:
        BrokerMissingError: in one line, what is missing.
    """
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    done = folder / ".complete"
    if done.exists():
        return folder
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise BrokerMissingError(f"Apache Kafka for the tests needs {tool}; install it or use the embedded broker")
    command = ["mvn", "-q", "-B", "-ntp", "-f", str(POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        first = next((line for line in result.stdout.splitlines() if "ERROR" in line), f"exit code {result.returncode}")
        raise BrokerMissingError(f"Apache Kafka's artifacts cannot be had from Maven Central: {first[:300]}")
    done.touch()
    return folder


def chosen_kind() -> str:
    """Return which broker the environment asks for."""
    kind = os.environ.get("CAMPAIGNWATCH_TEST_BROKER") or "embedded"
    if kind not in {"embedded", "apache"}:
        raise ValueError(f"CAMPAIGNWATCH_TEST_BROKER is {kind!r}; use embedded or apache")
    return kind


def new_broker() -> EmbeddedBroker | ApacheBroker:
    """Return an unstarted broker of the chosen kind, on a free port: for tests that stop it."""
    return ApacheBroker() if chosen_kind() == "apache" else EmbeddedBroker(port=0)


def fresh_prefix() -> str:
    """Return a topic prefix that no other test uses, so that tests share one broker without meeting."""
    return f"t{uuid.uuid4().hex[:10]}."


def _answers(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    try:
        print(fetch_jars())
    except BrokerMissingError as missing:
        sys.exit(str(missing))
