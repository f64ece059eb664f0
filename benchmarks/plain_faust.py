"""Faust as its guide shows it: one event at a time, one table.

``python -m benchmarks.plain_faust BROKER TOPIC GROUP PARTITIONS`` runs until it is ended.
It only counts events per campaign: no validation beyond the model, no duplicates, no windows, no enriched records.
Every setting is Faust's own default but for the partition count, the web server (off) and the spinner (off).
"""

import os
import sys

import faust

__all__ = ["create_app"]


class Click(faust.Record, serializer="json"):
    """What the count needs of an event; Faust ignores the other fields."""

    event_id: str
    type: str
    event_time: int
    user_id: str
    campaign_id: str


def create_app(broker: str, topic: str, group: str, partitions: int) -> faust.App:
    """Return the application of Faust's guide: a stream, an agent, a table."""
    app = faust.App(group, broker=f"kafka://{broker}", topic_partitions=partitions, web_enabled=False)
    clicks = app.topic(topic, value_type=Click)
    per_campaign = app.Table("per_campaign", default=int)

    @app.agent(clicks)
    async def count(stream):  # type: ignore[no-untyped-def]
        async for click in stream:
            per_campaign[click.campaign_id] += 1

    return app


if __name__ == "__main__":
    address, source, name, count = sys.argv[1:]
    application = create_app(address, source, name, int(count))
    nowhere = open(os.devnull, "w")  # noqa: SIM115  (Faust's spinner writes there once more when the process ends)
    faust.Worker(application, loglevel="WARNING", quiet=True, stdout=nowhere).execute_from_commandline()
