"""Run a command that ends when our standard input does: ``python guard.py SECONDS COMMAND …``.

Whoever starts this holds the other end of the pipe. If that process is killed, even with -9, the pipe closes, and the
command gets SIGTERM and, after ``SECONDS``, SIGKILL. Linux alone could do this with PR_SET_PDEATHSIG, but that signal
comes when the *thread* that started the child ends; a pipe is right everywhere.

Easy to get wrong: this file runs as a script under ``python -I -S``, so it imports the standard library only, and the
command must not inherit the pipe.
"""

import os
import subprocess
import sys
import threading

__all__ = ["guarded_command", "main"]


def guarded_command(argv: list[str], *, kill_after: float) -> list[str]:
    """Return the command line that runs ``argv`` under this guard; start it with ``stdin=subprocess.PIPE``."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), str(kill_after), *argv]


def main(kill_after: float, argv: list[str]) -> int:
    """Run ``argv`` until it ends or standard input does, and return its exit code (negative: the signal)."""
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)

    def end_with_input() -> None:
        while os.read(0, 4096):
            pass
        child.terminate()
        try:
            child.wait(kill_after)
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=end_with_input, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    code = main(float(sys.argv[1]), sys.argv[2:])
    sys.stdout.flush()
    os._exit(code if code >= 0 else 128 - code)  # the reading thread may still wait for input that never comes
