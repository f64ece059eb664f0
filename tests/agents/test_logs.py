"""Log lines of a worker."""

from collections.abc import Iterator

import pytest
import structlog

from agents.logs import configure_logs


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    """Leave logging as it was."""
    yield
    structlog.reset_defaults()


def test_a_line_has_time_level_event_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, without colours where there is no terminal."""
    configure_logs("info")
    structlog.get_logger("x").info("partitions acquired", partitions=[0, 1])
    (line,) = capsys.readouterr().out.splitlines()
    assert line[19:] == " [info] partitions acquired partitions=[0, 1]"


def test_what_is_less_severe_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """The setting ``log_level``."""
    configure_logs("warning")
    structlog.get_logger("x").info("not this")
    structlog.get_logger("x").warning("but this")
    assert "not this" not in (out := capsys.readouterr().out)
    assert "but this" in out
