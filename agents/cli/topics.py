"""``campaignwatch topics``: create and describe the topics of the contract."""

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from agents.cli.options import BrokerOption, ConfigOption, PrefixOption, load_settings
from agents.cli.tables import print_table

if TYPE_CHECKING:
    from streams.kafka.admin import TopicStatus

__all__ = ["topics"]

topics = typer.Typer(help="Create and describe the topics.", no_args_is_help=True)

PartitionsOption = Annotated[int | None, typer.Option("--partitions", help="Partitions of the input topics.")]
ReplicationOption = Annotated[int | None, typer.Option("--replication-factor", help="Copies of each partition.")]
HOUR_MS = 3_600_000


@topics.command()
def create(
    config: ConfigOption = None,
    broker: BrokerOption = None,
    topic_prefix: PrefixOption = None,
    partitions: PartitionsOption = None,
    replication_factor: ReplicationOption = None,
) -> None:
    """Create the topics that are missing; those that exist stay as they are."""
    options = {"partitions": partitions, "replication_factor": replication_factor}
    settings = load_settings(config, broker=broker, topic_prefix=topic_prefix, **options).settings
    from streams.kafka.admin import ensure_topics

    _quiet_client()
    created = asyncio.run(ensure_topics(settings.broker, settings))
    for name in created:
        typer.echo(f"created {name}")
    if not created:
        typer.echo("nothing to do: all topics exist")


@topics.command()
def describe(config: ConfigOption = None, broker: BrokerOption = None, topic_prefix: PrefixOption = None) -> None:
    """Show each topic: what it holds and how it stands on the broker."""
    settings = load_settings(config, broker=broker, topic_prefix=topic_prefix).settings
    from streams.kafka.admin import describe_topics

    _quiet_client()
    statuses = asyncio.run(describe_topics(settings.broker, settings))
    table = Table("topic", "partitions", "replicas", "state", "cleanup", "kept", "key", "holds")
    for status in statuses:
        table.add_row(*_cells(status))
    print_table(table)


def _cells(status: "TopicStatus") -> list[str]:
    contract, there = status.contract, bool(status.partitions)
    state = "ready" if status.ready else "no leader" if there else "missing"
    count = str(status.partitions) if status.partitions in (0, status.wanted) else f"{status.partitions} (not equal)"
    kept = _kept(contract.retention_ms)
    return [
        status.name,
        count if there else "",
        str(status.replicas) if there else "",
        state,
        contract.cleanup,
        kept,
        contract.key,
        contract.description,
    ]


def _kept(retention_ms: int | None) -> str:
    """Return a retention as a person would say it.

    >>> _kept(48 * HOUR_MS), _kept(HOUR_MS), _kept(-1), _kept(None)
    ('2 d', '1 h', 'for good', '')
    """
    if retention_ms is None:
        return ""
    if retention_ms < 0:
        return "for good"
    hours = retention_ms / HOUR_MS
    return f"{hours / 24:g} d" if hours >= 48 else f"{hours:g} h"


def _quiet_client() -> None:
    """Keep the Kafka client's own log off the terminal: what it cannot do comes as one line of ours."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
