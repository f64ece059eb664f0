"""What the sending commands share: a bar on terminals only, one line for what a broker refuses, a clean end."""

import asyncio
import os
import signal
from io import StringIO

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from rich.console import Console

from agents.cli.errors import UserError
from agents.cli.sending import Meter, refused, stop_on_signals
from streams.kafka.admin import TopicsError


def shown(*, terminal: bool) -> str:
    """Return what a meter writes while 50 of 100 records are sent."""
    screen = StringIO()
    with Meter("replay", total=100, console=Console(file=screen, force_terminal=terminal, width=120)) as meter:
        meter.add(50)
    assert meter.summary().startswith("50 records sent in ")
    return screen.getvalue()


def test_a_terminal_shows_a_bar() -> None:
    """With the share and the number of records."""
    assert "50%" in shown(terminal=True)
    assert "50 records" in shown(terminal=True)


def test_anything_else_shows_nothing() -> None:
    """A log file is no place for a bar."""
    assert shown(terminal=False) == ""


@pytest.mark.parametrize("error", [KafkaConnectionError("gone"), KafkaTimeoutError(), TopicsError("broker h:1: gone")])
def test_what_the_broker_refuses_is_one_line(error: Exception) -> None:
    """Which broker, and why."""
    with pytest.raises(UserError, match="h:1") as caught, refused("h:1"):
        raise error
    assert "\n" not in str(caught.value)


def test_our_own_mistakes_keep_their_traceback() -> None:
    """A bug must not look like a broker's refusal."""
    with pytest.raises(ZeroDivisionError), refused("h:1"):
        raise ZeroDivisionError


async def test_the_first_signal_asks_and_the_handlers_are_gone() -> None:
    """So that a second Ctrl-C ends a process that does not listen."""
    loop = asyncio.get_running_loop()
    stop = stop_on_signals(loop, (signal.SIGUSR1,))
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(stop.wait(), 5)
    assert not loop.remove_signal_handler(signal.SIGUSR1)
