"""Where a worker's time goes: one run of the whole flow under cProfile.

The profile is of the thread in which the flow runs; fetching has its own thread, whose share is given beside it. The
profiler makes every Python call dearer, so the shares lean towards small functions; the rates above were measured
without it.

Easy to get wrong: waiting is not work. The time in the selector is taken out before shares are made.
"""

import cProfile
import os
import pstats
import sys
import time
from pathlib import Path

from benchmarks.contestants import Arena, Ours
from streams.settings import load

__all__ = ["ProfiledWorker", "profile_worker", "top"]

FUNCTIONS = 5
WAITING = ("poll", "select", "acquire")


class ProfiledWorker(Ours):
    """Our worker under the profiler; it leaves its profile behind."""

    @property
    def result(self) -> Path:
        """File with the profile."""
        return self.folder / "profile"

    def command(self) -> list[str]:
        """Return the command of this module."""
        return ["-m", "benchmarks.worker_profile", str(self.result)]


def profile_worker(arena: Arena) -> str:
    """Run our worker once under the profiler; return its top functions by own time."""
    worker = ProfiledWorker(arena)
    run = worker.run()
    head = f"profile, own time of the flow's thread (under the profiler: {run.rate:,.0f} events/s)"
    return "\n".join([head, *top(worker.result), worker.result.with_suffix(".threads").read_text()])


def top(profile: Path, count: int = FUNCTIONS) -> list[str]:
    """Return the functions with most own time and their share of the time that was not waiting."""
    stats = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    own = {where: row[2] for where, row in stats.items() if not _waits(where)}
    whole = sum(own.values())
    best = sorted(own, key=own.__getitem__, reverse=True)[:count]
    return [f"  {own[where] / whole:6.1%}  {_name(where)}" for where in best]


def _waits(where: tuple[str, int, str]) -> bool:
    file, _, name = where
    return file == "~" and any(f"'{word}'" in name for word in WAITING)


def _name(where: tuple[str, int, str]) -> str:
    file, line, name = where
    if file == "~":
        return name
    parts = Path(file).parts
    known = [n for n, part in enumerate(parts) if part in ("site-packages", "streams", "schemas", "agents")]
    return f"{name} ({'/'.join(parts[known[-1] :] if known else parts[-2:])}:{line})"


def _main(result: Path) -> None:
    from agents.app import run_worker  # not before: the parent process needs none of it

    settings = load(None, os.environ)
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        run_worker(settings)
    finally:
        profiler.disable()
        profiler.dump_stats(result)
        whole, flow = time.process_time(), time.thread_time()
        result.with_suffix(".threads").write_text(
            f"  processor time: flow's thread {flow / whole:.0%}, fetching and the rest {1 - flow / whole:.0%}\n"
        )


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
