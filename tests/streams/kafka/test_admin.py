"""Creating the topics: complete, repeatable, and strict about partition counts."""

import asyncio

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.topics import TOPICS
from streams.kafka.admin import TopicsError, describe_topics, ensure_topics
from streams.kafka.broker import free_port
from streams.settings import Settings


async def make(bootstrap: str, **partitions: int) -> None:
    """Create topics with the given partition counts, behind the back of our own code."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, count, 1) for name, count in partitions.items()])
        async with asyncio.timeout(15):
            while not partitions.keys() <= set(await admin.list_topics()):
                await asyncio.sleep(0.02)
    finally:
        await admin.close()


async def configs(bootstrap: str, topic: str) -> dict[str, str]:
    """Return a topic's configuration as the broker has it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}
    finally:
        await admin.close()


async def test_makes_every_topic_of_the_contract(bootstrap: str, prefix: str) -> None:
    """All topics exist with their partition count, and each partition has a leader."""
    settings = Settings(topic_prefix=prefix, partitions=3)
    created = await ensure_topics(bootstrap, settings)
    assert sorted(created) == sorted(prefix + name for name in TOPICS)
    for status in await describe_topics(bootstrap, settings):
        assert status.name == prefix + status.contract.name
        assert status.partitions == status.wanted == (status.contract.partitions or 3)
        assert status.ready
        assert status.replicas == 1


async def test_sets_cleanup_and_retention(bootstrap: str, prefix: str) -> None:
    """Compaction and retention are on the broker as the contract says."""
    await ensure_topics(bootstrap, Settings(topic_prefix=prefix, partitions=1))
    for contract in TOPICS.values():
        there = await configs(bootstrap, prefix + contract.name)
        assert there["cleanup.policy"] == contract.cleanup
        if contract.retention_ms is not None:
            assert there["retention.ms"] == str(contract.retention_ms)


async def test_again_makes_nothing(bootstrap: str, prefix: str) -> None:
    """A second call finds everything there."""
    settings = Settings(topic_prefix=prefix, partitions=2)
    await ensure_topics(bootstrap, settings)
    assert await ensure_topics(bootstrap, settings) == []


async def test_two_at_once_both_succeed(bootstrap: str, prefix: str) -> None:
    """Workers that start together may all create: each topic is made by one of them."""
    settings = Settings(topic_prefix=prefix, partitions=2)
    first, second = await asyncio.gather(ensure_topics(bootstrap, settings), ensure_topics(bootstrap, settings))
    assert {*first, *second} == {prefix + name for name in TOPICS}


async def test_missing_topics_follow_the_existing_inputs(bootstrap: str, prefix: str) -> None:
    """When the inputs exist, what joins them by partition number is made with their count, not the setting's."""
    await make(bootstrap, **{f"{prefix}{name}": 5 for name in ("clicks", "orders", "social")})
    settings = Settings(topic_prefix=prefix, partitions=2)
    await ensure_topics(bootstrap, settings)
    counts = {status.contract.name: status.partitions for status in await describe_topics(bootstrap, settings)}
    assert counts["clicks.enriched"] == counts["state.ingest"] == 5


async def test_inputs_that_do_not_fit_together_are_one_line(bootstrap: str, prefix: str) -> None:
    """Different partition counts of the inputs stop the start, with names, numbers and what to do."""
    await make(bootstrap, **{prefix + "clicks": 3, prefix + "orders": 2})
    expected = f"{prefix}orders has 2 partitions instead of 3; all must be like {prefix}clicks"
    with pytest.raises(TopicsError, match=expected) as caught:
        await ensure_topics(bootstrap, Settings(topic_prefix=prefix))
    assert "\n" not in str(caught.value)
    assert {s.partitions for s in await describe_topics(bootstrap, Settings(topic_prefix=prefix))} == {0, 2, 3}


async def test_a_single_partition_topic_with_more_is_refused(bootstrap: str, prefix: str) -> None:
    """The campaigns topic has one partition by contract; another count is an error, not a guess."""
    await make(bootstrap, **{prefix + "campaigns": 3})
    with pytest.raises(TopicsError, match=r"campaigns has 3 partitions instead of 1; delete it"):
        await ensure_topics(bootstrap, Settings(topic_prefix=prefix))


async def test_describing_creates_nothing(bootstrap: str, prefix: str) -> None:
    """Asking about missing topics does not bring them into being."""
    settings = Settings(topic_prefix=prefix, partitions=4)
    for _ in range(2):
        statuses = await describe_topics(bootstrap, settings)
        assert [status.contract for status in statuses] == list(TOPICS.values())
        assert {status.partitions for status in statuses} == {0}
        assert not any(status.ready for status in statuses)


@pytest.mark.broker_kind("apache")
async def test_a_refusal_is_one_line(bootstrap: str, prefix: str) -> None:
    """A replication factor that the cluster cannot give is said as the broker says it."""
    with pytest.raises(TopicsError, match=r"the broker does not create .*: .*replication factor of 3") as caught:
        await ensure_topics(bootstrap, Settings(topic_prefix=prefix, replication_factor=3))
    assert "\n" not in str(caught.value)


async def test_no_broker_is_one_line() -> None:
    """An address where nobody listens is an error with the address and what to check."""
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(TopicsError, match=rf"broker {nowhere}: .*check the address") as caught:
        await ensure_topics(nowhere, Settings())
    assert "\n" not in str(caught.value)
