"""Each worker process gets a state folder of its own, and finds it again."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streams.kafka.folders import claim_folder

CLAIM = """
import sys
from pathlib import Path
from streams.kafka.folders import claim_folder
print(claim_folder(Path(sys.argv[1])).name, flush=True)
sys.stdin.read()
"""
Claim = Callable[[], tuple[str, "subprocess.Popen[str]"]]


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Claim]:
    """Starts a process that claims a folder; it holds it until its input ends or it is killed."""
    started: list[subprocess.Popen[str]] = []

    def start() -> tuple[str, "subprocess.Popen[str]"]:
        command = [sys.executable, "-c", CLAIM, str(tmp_path / "state")]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(child)
        assert child.stdout is not None
        return child.stdout.readline().strip(), child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def test_two_processes_never_share_a_folder(claim: Claim) -> None:
    """The second takes the next number; what a killed one held is free at once."""
    name, first = claim()
    other, _ = claim()
    assert (name, other) == ("worker-0", "worker-1")
    first.kill()
    first.wait()
    assert claim()[0] == "worker-0"


def test_a_process_holds_its_folder_for_good(tmp_path: Path) -> None:
    """Also against itself: nothing lets go of the lock before the process ends."""
    assert [claim_folder(tmp_path / "a" / "b").name for _ in range(2)] == ["worker-0", "worker-1"]
    assert (tmp_path / "a" / "b" / "worker-1" / "lock").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A path that cannot be written is an error, not an endless search."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        claim_folder(tmp_path / "file")
