"""A state folder for each worker process on a machine.

Two workers must not open the same local databases. Each takes the first
``worker-N`` folder that nobody holds, so after a restart it finds its own
copies again; what it does not find comes from the state log.
"""

import fcntl
import os
from pathlib import Path

__all__ = ["claim_folder"]

_held: list[int] = []


def claim_folder(state_dir: Path) -> Path:
    """Return the first free ``worker-N`` folder below ``state_dir``, ours until the process ends.

    Raises ``OSError`` when the folder cannot be written.
    """
    number = 0
    while True:
        folder = state_dir / f"worker-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            number += 1
            continue
        _held.append(lock)
        return folder
