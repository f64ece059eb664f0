"""The command ``campaignwatch``: registers the subcommands and nothing else.

Easy to get wrong: what a module imports at its top is paid by every ``--help`` and by each child process, so commands
import Kafka, Faust and the web server inside their functions.
"""

import typer

from agents.cli.check import check
from agents.cli.errors import OneLineErrors
from agents.cli.replay import replay
from agents.cli.simulate import simulate
from agents.cli.topics import topics
from agents.cli.up import up
from agents.cli.worker import worker

__all__ = ["app"]

app = typer.Typer(
    cls=OneLineErrors,
    help="Live marketing-campaign numbers from Kafka. Start with: campaignwatch up --demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (up, worker, simulate, replay, check):
    app.command(command.__name__)(command)
app.add_typer(topics, name="topics")

if __name__ == "__main__":
    app()
