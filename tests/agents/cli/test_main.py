"""The command line: mistakes are one line and exit code 2, and nothing heavy is imported for help."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from agents.cli.main import app
from tests.waiting import ROOT


def run(*arguments: str, **env: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error."""
    result = CliRunner().invoke(app, list(arguments), env={"CAMPAIGNWATCH_CONFIG": "", **env})
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nonsense"], "error: No such command 'nonsense'; see campaignwatch --help"),
        (["wroker"], "error: No such command 'wroker'. Did you mean 'worker'?; see campaignwatch --help"),
        (["--nope"], "error: No such option: --nope; see campaignwatch --help"),
        (["up", "--nope"], "error: No such option: --nope; see campaignwatch up --help"),
        (["topics", "create", "--partitions", "0"], "error: command line: --partitions: '0' is not allowed; give a "),
        (["worker", "--config", "no-such.yaml"], "error: no-such.yaml: cannot be read (No such file or directory); "),
        (["worker"], "error: CAMPAIGNWATCH_HASH_KEY: is not set and user ids must be hashed; set it once and keep it"),
        (["up"], "error: CAMPAIGNWATCH_HASH_KEY: is not set and user ids must be hashed; set it once and keep it"),
        (["topics", "describe", "--broker", "x"], "error: command line: --broker: 'x' is not allowed; give host:port"),
        (["topics", "create", "-b", "127.0.0.1:1"], "error: broker 127.0.0.1:1: "),
        (["topics", "describe", "-b", "127.0.0.1:1"], "error: broker 127.0.0.1:1: "),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], line: str) -> None:
    """What, where, how to mend it; no box, no traceback."""
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_several_mistakes_are_several_lines() -> None:
    """All at once, so that nobody mends one to meet the next."""
    code, _out, err = run("check", CAMPAIGNWATCH_WORKERS="x", CAMPAIGNWATCH_BROKR="y")
    assert code == 2
    assert [line.split(": ")[2] for line in err.splitlines()] == ["CAMPAIGNWATCH_BROKR", "CAMPAIGNWATCH_WORKERS"]


@pytest.mark.parametrize("command", ["up", "worker", "simulate", "replay", "check", "topics"])
def test_every_command_has_help(command: str) -> None:
    """Help exists and costs nothing."""
    code, out, _err = run(command, "--help")
    assert code == 0
    assert f"campaignwatch {command}" in out


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only mistakes of the user become one line."""

    def broken(config: object = None, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("agents.cli.check.load_settings", broken)
    result = CliRunner().invoke(app, ["check"])
    assert isinstance(result.exception, ZeroDivisionError)


def test_ctrl_c_is_exit_code_130_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that does not handle Ctrl-C itself ends quietly."""

    def interrupted(config: object = None, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agents.cli.check.load_settings", interrupted)
    assert run("check")[0] == 130


def test_a_closed_pipe_is_no_traceback() -> None:
    """`campaignwatch check --show | head -1` is quiet."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CAMPAIGNWATCH_HASH_KEY": "k" * 32, "CAMPAIGNWATCH_CONFIG": ""}
    command = f"{sys.executable} -u -m agents.cli.main check --show | true"
    result = subprocess.run(["/bin/sh", "-c", command], env=env, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert result.stderr == b""


def test_help_does_not_load_kafka_or_faust() -> None:
    """Transitive imports count: help must be quick, and `check` must work where Kafka's client does not."""
    script = (
        "import sys\nfrom agents.cli.main import app\n"
        "heavy = {'faust', 'aiokafka', 'aiohttp', 'rocksdict', 'prometheus_client', 'river'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    assert result.returncode == 0
