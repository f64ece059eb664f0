"""Create and describe the topics of :mod:`schemas.topics` on a broker.

Everything that joins by partition number depends on equal partition counts, so a topic that exists decides: those still
missing are made with the same count, and a mismatch is an error before any worker starts.

Easy to get wrong: asking a broker about a topic by name can create it, with the broker's own partition count. So we ask
for the list of all topics and look up ours in it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.topics import TOPICS, TopicContract
from streams.settings import Settings

__all__ = ["TopicStatus", "TopicsError", "describe_topics", "ensure_topics"]

VISIBLE_SECONDS = 30.0
"""Between a topic's creation and every partition having a leader. A healthy cluster needs well under a second."""

LOOK_SECONDS = 0.1
"""Pause between two looks at the cluster's metadata."""


class TopicsError(Exception):
    """The topics are not usable; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class TopicStatus:
    """One contract's topic as the broker has it; ``partitions`` is 0 when it does not exist.

    ``wanted`` is the partition count it has or would be made with; ``ready`` says that each partition has a leader.
    """

    contract: TopicContract
    name: str
    partitions: int
    wanted: int
    replicas: int
    ready: bool


async def ensure_topics(
    bootstrap: str, settings: Settings, *, contracts: Mapping[str, TopicContract] = TOPICS
) -> list[str]:
    """Create the topics that are missing, wait until all can be used, and return the names of the new ones.

    Calling it again, or from several processes at once, does no harm.

    Raises:
        TopicsError: if the broker cannot be reached or refuses, or partition counts do not fit together.
    """
    async with _admin(bootstrap) as admin:
        found = await _statuses(admin, settings, contracts.values())
        _check_counts(found)
        created = await _create(admin, settings, [status for status in found if not status.partitions])
        try:
            async with asyncio.timeout(VISIBLE_SECONDS):
                while not all(status.ready for status in found):
                    await asyncio.sleep(LOOK_SECONDS)
                    found = await _statuses(admin, settings, contracts.values())
        except TimeoutError:
            waiting = ", ".join(status.name for status in found if not status.ready)
            lacking = f"no leader in {VISIBLE_SECONDS:.0f} s for {waiting}"
            raise TopicsError(f"topics: {lacking}; check the brokers") from None
        _check_counts(found)
        return created


async def describe_topics(
    bootstrap: str, settings: Settings, *, contracts: Mapping[str, TopicContract] = TOPICS
) -> list[TopicStatus]:
    """Return the status of every contract's topic, in the order of the contracts; creates nothing.

    Raises:
        TopicsError: if the broker cannot be reached.
    """
    async with _admin(bootstrap) as admin:
        return await _statuses(admin, settings, contracts.values())


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        yield admin
    except (KafkaError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise TopicsError(f"broker {bootstrap}: {reason}; check the address and that Kafka runs there") from error
    finally:
        await admin.close()


async def _statuses(
    admin: AIOKafkaAdminClient, settings: Settings, contracts: Iterable[TopicContract]
) -> list[TopicStatus]:
    contracts = list(contracts)
    there: dict[str, list[dict[str, Any]]] = {
        topic["topic"]: topic["partitions"] for topic in await admin.describe_topics() if not topic["error_code"]
    }
    shared = next(
        (len(there[name]) for c in contracts if c.partitions is None and (name := settings.topic(c.name)) in there),
        settings.partitions,
    )
    return [_status(contract, settings.topic(contract.name), there, shared) for contract in contracts]


def _status(contract: TopicContract, name: str, there: Mapping[str, list[dict[str, Any]]], shared: int) -> TopicStatus:
    partitions = there.get(name, [])
    return TopicStatus(
        contract=contract,
        name=name,
        partitions=len(partitions),
        wanted=contract.partitions or shared,
        replicas=min((len(partition["replicas"]) for partition in partitions), default=0),
        ready=bool(partitions) and all(not p["error_code"] and p["leader"] >= 0 for p in partitions),
    )


def _check_counts(found: Iterable[TopicStatus]) -> None:
    there = [status for status in found if status.partitions]
    wrong = [status for status in there if status.partitions != status.wanted]
    if not wrong:
        return
    listed = ", ".join(f"{s.name} has {s.partitions} partitions instead of {s.wanted}" for s in wrong)
    like = next((status.name for status in there if status.contract.partitions is None), "")
    mend = f"all must be like {like}; delete and create again what differs" if like else "delete it and create it again"
    raise TopicsError(f"topics: {listed}; {mend}")


async def _create(admin: AIOKafkaAdminClient, settings: Settings, missing: list[TopicStatus]) -> list[str]:
    if not missing:
        return []
    response = await admin.create_topics([_new_topic(status, settings.replication_factor) for status in missing])
    created = []
    for name, code, *message in response.topic_errors:
        if not code:
            created.append(name)
        elif code != TopicAlreadyExistsError.errno:
            reason = (message and message[0]) or for_code(code).__name__
            raise TopicsError(f"topics: the broker does not create {name}: {reason}")
    return created


def _new_topic(status: TopicStatus, replication_factor: int) -> NewTopic:
    configs = {"cleanup.policy": status.contract.cleanup}
    if status.contract.retention_ms is not None:
        configs["retention.ms"] = str(status.contract.retention_ms)
    return NewTopic(status.name, status.wanted, replication_factor, topic_configs=configs)
