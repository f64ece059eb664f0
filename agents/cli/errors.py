"""Mistakes of the person at the keyboard: one line on standard error, exit code 2, never a traceback.

A line says what is wrong, where, and how to mend it. Whatever is no mistake of theirs keeps its traceback: hiding a
bug behind a friendly line would cost the one thing that helps to find it.

Easy to get wrong: typer prints wrong options as a box of several lines, and its own exceptions pass by a ``try`` around
the body of a command. So the group of all commands is the one place that prints: a command just raises.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from streams.settings import SettingsError

__all__ = ["MISTAKE", "OneLineErrors", "UserError", "lines_of"]

PROGRAM = "campaignwatch"

MISTAKE = 2
"""Exit code of a mistake of the user; 1 is a failure of ours or of something around us."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it (128 + SIGINT)."""


class UserError(Exception):
    """What the user has to mend, in one line: ``raise UserError("orders.jsonl: no such file; give …")``."""


class OneLineErrors(TyperGroup):
    """A group of commands that prints mistakes as single lines: ``typer.Typer(cls=OneLineErrors)``."""

    def main(self, args: Sequence[str] | None = None, *_rest: Any, **_extra: Any) -> Any:
        """Run the command line and leave with its exit code; how the caller calls us makes no difference."""
        try:
            code = super().main(args, prog_name=PROGRAM, standalone_mode=False)
            sys.stdout.flush()
        except BrokenPipeError:  # `campaignwatch … | head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except Exception as error:
            lines = lines_of(error)
            if lines is None:
                raise
            for line in lines:
                print(f"error: {line}", file=sys.stderr)
            code = MISTAKE
        sys.exit(code if isinstance(code, int) else 0)


def lines_of(error: BaseException) -> list[str] | None:
    """Return the lines to print for a mistake of the user, ``None`` when ``error`` is something else.

    >>> lines_of(UserError("clicks.jsonl: no such file;\\n give a path"))
    ['clicks.jsonl: no such file; give a path']
    >>> lines_of(ZeroDivisionError()) is None
    True
    """
    if isinstance(error, SettingsError):
        return [_one_line(problem) for problem in error.problems]
    if isinstance(error, UserError) or _of_the_broker(error):
        return [_one_line(str(error))]
    # typer's exceptions for wrong arguments have no public common class in every version we allow
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    help_with = f"; see {context.command_path} --help" if context is not None else ""
    return [_one_line(format_message()).rstrip(".") + help_with]


def _of_the_broker(error: BaseException) -> bool:
    """Return whether it is one of the one-line errors of ``streams.kafka``, which must not be imported for --help."""
    kind = type(error)
    return kind.__module__.startswith("streams.kafka.") and kind.__name__ in {"BrokerError", "TopicsError"}


def _one_line(text: str) -> str:
    return " ".join(text.split())
