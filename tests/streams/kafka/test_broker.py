"""The embedded broker: it starts, ends, keeps to its port, and never outlives us."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.kafka import broker as broker_module
from streams.kafka.broker import BrokerError, EmbeddedBroker, free_port, is_taken
from streams.kafka.guard import guarded_command
from tests.waiting import alive, wait_for


async def test_keeps_a_record() -> None:
    """What a standard client writes, a standard client reads."""
    with EmbeddedBroker(port=0) as broker:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            await producer.send_and_wait("greetings", b"hello")
        async with AIOKafkaConsumer(
            "greetings", bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest"
        ) as consumer:
            assert (await consumer.getone()).value == b"hello"


def test_uses_the_wanted_port() -> None:
    """A free port is used as asked, and not reported as taken."""
    port = free_port()
    with EmbeddedBroker(port=port) as broker:
        assert broker.bootstrap == f"127.0.0.1:{port}"
        assert not broker.port_was_taken


def test_a_taken_port_is_said_and_another_one_used() -> None:
    """Two brokers that want one port both run, and the second says so."""
    with EmbeddedBroker(port=free_port()) as first, EmbeddedBroker(port=first.port) as second:
        assert second.port_was_taken
        assert second.port != first.port
        assert first.running
        assert second.running


def test_a_listener_on_all_addresses_takes_the_port() -> None:
    """A program on the wildcard address counts, although binding loopback may work beside it."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        assert is_taken("127.0.0.1", other.getsockname()[1])


def test_stop_frees_the_port_and_can_be_repeated() -> None:
    """After stop the port is free at once; a second stop and a second start do no harm."""
    broker = EmbeddedBroker(port=free_port()).start()
    broker.stop()
    broker.stop()
    assert not is_taken("127.0.0.1", broker.port)
    assert not broker.running
    with broker:
        assert not broker.port_was_taken


def test_writes_its_messages_to_the_log(tmp_path: Path) -> None:
    """With a log path the broker's own messages can be read, and its folder is made."""
    log = tmp_path / "new" / "broker.log"
    with EmbeddedBroker(port=0, log_path=log):
        wait_for(lambda: "ready" in log.read_text())


def test_environment_does_not_reconfigure_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that the binary reads are kept from it."""
    monkeypatch.setenv("STORAGE_ENGINE", "nonsense://")
    monkeypatch.setenv("LISTENER_URL", "tcp://0.0.0.0:1")
    with EmbeddedBroker(port=0) as broker:
        assert broker.running


def test_does_not_write_into_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty or read-only HOME is no obstacle."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with EmbeddedBroker(port=0):
        assert list(tmp_path.iterdir()) == []


def test_a_missing_binary_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no binary exists the error says what to do instead, in one line."""
    monkeypatch.setenv("CALF_TANSU_BIN", "/nowhere/tansu")
    with pytest.raises(BrokerError, match=r"start Apache Kafka and give its address with --broker") as caught:
        EmbeddedBroker(port=0).start()
    assert "\n" not in str(caught.value)


def test_a_broker_that_does_not_come_up_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A binary that ends at once is tried again, then reported with the place of its log."""
    fake = tmp_path / "tansu"
    fake.write_text("#!/bin/sh\necho tried\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(fake))
    log = tmp_path / "log"
    with pytest.raises(BrokerError, match=r"does not start on 127\.0\.0\.1; see .*log"):
        EmbeddedBroker(port=0, log_path=log).start()
    assert log.read_text().split() == ["tried"] * broker_module.ATTEMPTS


def test_dies_with_its_parent(tmp_path: Path) -> None:
    """When the process that started it is killed with -9, the broker goes too."""
    code = (
        "import sys, time; from streams.kafka.broker import EmbeddedBroker\n"
        "b = EmbeddedBroker(port=0).start(); print(b.port, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    assert is_taken("127.0.0.1", port)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: not is_taken("127.0.0.1", port))


def test_ctrl_c_of_the_terminal_does_not_reach_it() -> None:
    """The broker is outside our process group, so workers can still write their last state."""
    with EmbeddedBroker(port=0) as broker:
        assert broker._process is not None
        assert os.getpgid(broker._process.pid) != os.getpgid(0)


def test_guard_kills_what_ignores_sigterm() -> None:
    """A command that ignores SIGTERM is killed after the time allowed."""
    argv = ["/bin/sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.1; done"]
    guard = subprocess.Popen(
        guarded_command(argv, kill_after=0.2), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert guard.stdin is not None
    assert guard.stdout is not None
    pid = int(guard.stdout.readline())
    try:
        guard.stdin.close()
        assert guard.wait(15) == 128 + signal.SIGKILL
        wait_for(lambda: not alive(pid))
    finally:
        guard.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_guard_passes_on_the_exit_code() -> None:
    """A command that ends by itself ends the guard, with its code."""
    guard = subprocess.Popen(guarded_command(["/bin/sh", "-c", "exit 7"], kill_after=1), stdin=subprocess.PIPE)
    assert guard.wait(15) == 7
    assert guard.stdin is not None
    guard.stdin.close()
