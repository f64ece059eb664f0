"""Partition numbers are shared out fairly, all topics of a number go to one worker, and owners keep what they have."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka.assignor import new_assignor, share_out
from tests.streams.kafka.owners import make_topics
from tests.waiting import until

MEMBERS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.lists(st.integers(0, 14), max_size=12), min_size=1, max_size=7
)


@given(st.integers(0, 12), MEMBERS)
def test_everything_is_assigned_once_and_fairly(count: int, owned: dict[str, list[int]]) -> None:
    """Whatever members claim to own, even doubly or beyond the topic's end."""
    shares = share_out(count, owned)
    assert sorted(number for share in shares.values() for number in share) == list(range(count))
    assert set(shares) == set(owned)
    sizes = list(map(len, shares.values()))
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(0, 12), MEMBERS, st.randoms())
def test_order_of_members_does_not_matter(count: int, owned: dict[str, list[int]], chance: Any) -> None:
    """Every leader computes the same shares."""
    shuffled = list(owned.items())
    chance.shuffle(shuffled)
    assert share_out(count, dict(shuffled)) == share_out(count, owned)


@given(st.integers(0, 12), MEMBERS)
def test_sharing_again_moves_nothing(count: int, owned: dict[str, list[int]]) -> None:
    """A rebalance without a change of members is free."""
    shares = share_out(count, owned)
    assert share_out(count, shares) == shares


@given(st.integers(1, 12), MEMBERS, st.data())
def test_as_little_as_possible_moves(count: int, owned: dict[str, list[int]], data: st.DataObject) -> None:
    """A member that leaves takes nothing from the others; one that joins takes only its share."""
    shares = share_out(count, owned)
    if len(shares) > 1:
        leaving = data.draw(st.sampled_from(sorted(shares)))
        rest = {member: share for member, share in shares.items() if member != leaving}
        after = share_out(count, rest)
        assert all(set(rest[member]) <= set(after[member]) for member in rest)
    after = share_out(count, {**shares, "new": []})
    moved = sum(len(set(shares[member]) - set(after[member])) for member in shares)
    assert moved == len(after["new"]) <= -(-count // (len(shares) + 1))


class Cluster:
    """Partitions by topic, as the client's metadata gives them."""

    def __init__(self, **partitions: int) -> None:
        self.counts = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self.counts[topic])) if topic in self.counts else None


def assign(cluster: Cluster, members: dict[str, tuple[list[str], list[int]]]) -> dict[str, dict[str, list[int]]]:
    """Let an assignor decide; ``members`` is topics and owned numbers by name."""
    metadata = {}
    for name, (topics, numbers) in members.items():
        assignor = new_assignor()
        held = ConsumerProtocolMemberAssignment(0, [(topic, numbers) for topic in topics], b"")
        assignor.on_assignment(held)
        metadata[name] = assignor.metadata(topics)
    result = new_assignor().assign(cluster, metadata)  # type: ignore[arg-type]
    return {name: dict(held.assignment) for name, held in result.items()}


def test_numbers_of_all_topics_go_together() -> None:
    """Also where a topic has fewer partitions, or is not known yet."""
    topics = ["clicks", "orders", "small", "unknown"]
    result = assign(Cluster(clicks=4, orders=4, small=1), {"x": (topics, []), "y": (topics, [])})
    assert result == {
        "x": {"clicks": [0, 1], "orders": [0, 1], "small": [0], "unknown": []},
        "y": {"clicks": [2, 3], "orders": [2, 3], "small": [], "unknown": []},
    }


def test_what_a_member_owns_travels_with_its_subscription() -> None:
    """An assignor remembers its own last assignment, and no other's: classes are made per consumer."""
    result = assign(Cluster(clicks=4), {"x": (["clicks"], []), "y": (["clicks"], [0, 1])})
    assert result == {"x": {"clicks": [2, 3]}, "y": {"clicks": [0, 1]}}
    first, second = new_assignor(), new_assignor()
    first.on_assignment(ConsumerProtocolMemberAssignment(0, [("clicks", [3])], b""))
    assert (first.metadata(["clicks"]).user_data, second.metadata(["clicks"]).user_data) == (b"3", b"")


def test_no_partitions_at_all() -> None:
    """Topics that do not exist yet give empty assignments, not an error."""
    assert assign(Cluster(), {"x": (["clicks"], [])}) == {"x": {"clicks": []}}


@pytest.mark.slow
async def test_live_group_is_co_partitioned_and_sticky(bootstrap: str, prefix: str) -> None:
    """Three consumers of a real group, then two: numbers go together, and survivors keep theirs."""
    topics = [f"{prefix}{name}" for name in ("clicks", "orders", "social")]
    await make_topics(bootstrap, **dict.fromkeys(topics, 6))

    def numbers(consumer: AIOKafkaConsumer) -> set[int]:
        held = {topic: {tp.partition for tp in consumer.assignment() if tp.topic == topic} for topic in topics}
        return held[topics[0]] if len(set(map(frozenset, held.values()))) == 1 else {-1}

    def settled(consumers: list[AIOKafkaConsumer]) -> bool:
        shares = [numbers(consumer) for consumer in consumers]
        return sorted(number for share in shares for number in share) == list(range(6)) and {6 // len(shares)} == set(
            map(len, shares)
        )

    async with AsyncExitStack() as stack:
        consumers = []
        for _ in range(3):
            consumer = AIOKafkaConsumer(
                *topics,
                bootstrap_servers=bootstrap,
                group_id=f"{prefix}group",
                partition_assignment_strategy=[new_assignor()],
                session_timeout_ms=6_000,
                heartbeat_interval_ms=500,
                rebalance_timeout_ms=6_000,
                enable_auto_commit=False,
            )
            consumers.append(consumer)
        await asyncio.gather(*(consumer.start() for consumer in consumers))
        for consumer in consumers[:2]:
            stack.push_async_callback(consumer.stop)
        polls = [asyncio.create_task(poll(consumer)) for consumer in consumers]
        for task in polls:
            stack.callback(task.cancel)
        await until(lambda: settled(consumers), 60)
        before = [numbers(consumer) for consumer in consumers[:2]]
        polls[2].cancel()
        await consumers[2].stop()
        await until(lambda: settled(consumers[:2]), 60)
        assert all(old <= numbers(consumer) for old, consumer in zip(before, consumers, strict=False))


async def poll(consumer: AIOKafkaConsumer) -> None:
    while True:
        await consumer.getmany(timeout_ms=100)
