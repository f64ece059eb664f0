"""Reference data: whole before the first event, then as fresh as its topic."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import structlog
from aiokafka import AIOKafkaProducer

from schemas.campaigns import Campaign
from streams.kafka.batches import new_producer, write_rows
from streams.kafka.reference_feed import ReferenceFeed
from streams.reference import Reference
from tests.streams.harness import settings
from tests.streams.kafka.owners import make_topics
from tests.waiting import until

SECONDS = 30.0


class Campaigns:
    """The topic `campaigns`, and feeds of it."""

    def __init__(self, bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
        self.topic = f"{prefix}campaigns"
        self.settings = settings(broker=bootstrap, topic_prefix=prefix)
        self.feeds: list[ReferenceFeed] = []
        self._producer = producer

    async def write(self, **names: str | None) -> None:
        records = {key: name and msgspec.json.encode(Campaign(key, name)) for key, name in names.items()}
        rows = [(key.encode(), value or None) for key, value in records.items()]
        await write_rows(self._producer, self.topic, 0, rows)

    async def load(self) -> Reference:
        reference = Reference()
        self.feeds.append(ReferenceFeed(self.settings, reference))
        await asyncio.wait_for(self.feeds[-1].load(), SECONDS)
        return reference


@pytest.fixture
async def campaigns(bootstrap: str, prefix: str) -> AsyncIterator[Campaigns]:
    """An empty topic."""
    await make_topics(bootstrap, **{f"{prefix}campaigns": 1})
    producer = new_producer(bootstrap)
    await producer.start()
    made = Campaigns(bootstrap, prefix, producer)
    yield made
    for feed in made.feeds:
        await feed.stop()
    await producer.stop()


def name_of(reference: Reference, campaign_id: str) -> str | None:
    info = reference.get(campaign_id)
    return info.name if info else None


async def test_loaded_means_all_of_it(campaigns: Campaigns) -> None:
    """When `load` returns, the newest record of each campaign is known, and what was removed is not."""
    await campaigns.write(**{f"c{n}": "old" for n in range(500)})
    await campaigns.write(c1="new", c2=None)
    reference = await campaigns.load()
    assert len(reference) == 499
    assert (name_of(reference, "c1"), name_of(reference, "c2")) == ("new", None)


async def test_an_empty_topic_is_loaded_at_once(campaigns: Campaigns) -> None:
    """Nobody needs to have campaigns."""
    assert len(await campaigns.load()) == 0


async def test_it_follows(campaigns: Campaigns) -> None:
    """What is written later arrives; a record that is no campaign is skipped, loudly."""
    reference = await campaigns.load()
    with structlog.testing.capture_logs() as logs:
        await write_rows(campaigns._producer, campaigns.topic, 0, [(b"c0", b"{")])
        await campaigns.write(c1="first")
        await until(lambda: name_of(reference, "c1") == "first")
        await campaigns.write(c1=None)
        await until(lambda: reference.get("c1") is None)
    assert [(entry["event"], entry["offset"]) for entry in logs] == [("not a campaign", 0)]


async def test_a_feed_that_ends_says_so(campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference data that no longer moves must not go unnoticed; stopping is no error."""
    await campaigns.load()
    feed = campaigns.feeds[0]

    async def failing(*args: object, **options: object) -> None:
        raise RuntimeError("no more")

    with structlog.testing.capture_logs() as logs:
        monkeypatch.setattr(feed, "_read_some", failing)
        await until(lambda: logs)
        await campaigns.load()
        await campaigns.feeds[1].stop()
    assert [entry["log_level"] for entry in logs if entry["event"].startswith("campaigns are no longer")] == ["error"]


async def test_stop_without_load(campaigns: Campaigns) -> None:
    """A worker that never got that far stops cleanly."""
    await ReferenceFeed(campaigns.settings, Reference()).stop()
