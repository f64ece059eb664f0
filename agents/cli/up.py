"""``campaignwatch up``: broker, topics, workers, page and, on request, traffic, all from one command."""

import asyncio
import logging
import secrets
from dataclasses import replace
from typing import Annotated

import typer

from agents.cli.options import BrokerOption, ConfigOption, PrefixOption, load_settings, require_hash_key
from streams.settings import Settings

__all__ = ["up"]

DemoOption = Annotated[bool, typer.Option("--demo", help="Add simulated traffic.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", "-w", help="Worker processes.")]
BoardPortOption = Annotated[int | None, typer.Option("--board-port", help="Port of the page.")]


def up(
    config: ConfigOption = None,
    broker: BrokerOption = None,
    topic_prefix: PrefixOption = None,
    workers: WorkersOption = None,
    board_port: BoardPortOption = None,
    demo: DemoOption = False,
) -> None:
    """Start everything and print the address of the page. Ctrl-C ends it.

    Without a broker in the settings, one runs inside: in memory, for this run only.
    """
    loaded = load_settings(config, broker=broker, topic_prefix=topic_prefix, workers=workers, board_port=board_port)
    settings = _with_hash_key(loaded.settings, demo)
    from agents.cli.deployment import Deployment

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # failures come as one line of ours
    raise typer.Exit(asyncio.run(Deployment(replace(loaded, settings=settings), demo=demo).run()))


def _with_hash_key(settings: Settings, demo: bool) -> Settings:
    if demo and not settings.hash_key:
        typer.echo("hash key: a random one, for this run only (CAMPAIGNWATCH_HASH_KEY is not set)")
        return replace(settings, hash_key=secrets.token_hex(32))
    return require_hash_key(settings)
