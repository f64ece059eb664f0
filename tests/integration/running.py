"""The command line as a user types it, and files to run it on."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["ROOT", "SCALE", "campaignwatch", "data_file"]

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"

SCALE = int(os.environ.get("CAMPAIGNWATCH_TEST_SCALE", "1"))
"""1 for a quick run; 10 sends ten times as many events and kills ten times, not three."""


def campaignwatch(*arguments: str, timeout: float = 300) -> str:
    """Run a command to its end and return what it printed; fails with its output."""
    done = subprocess.run(
        [sys.executable, "-m", "agents.cli.main", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}:\n{text}"
    return text


def data_file(whole: str, cut: str) -> Path:
    """Return the whole real file in a long run where it is there, else the cut that is kept with the tests."""
    path = SHARED / whole
    return path if SCALE > 1 and path.exists() else ROOT / "tests" / "data" / cut
