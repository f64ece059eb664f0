"""Who owns which partition number.

Whoever owns partition p of one topic must own p of all: clicks and orders of a
user meet in one state. So partition *numbers* are shared out, not topic
partitions. Owners keep what they have (their state is on their disk), as far
as a fair share allows.
"""

from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

__all__ = ["new_assignor", "share_out"]


def share_out(count: int, owned: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
    """Share partition numbers ``0..count-1`` among members, keeping what they own.

    Shares differ by at most one. Everyone computes the same result from the
    same input.

    >>> share_out(4, {"a": [0, 1, 2, 3], "b": []})
    {'a': [0, 1], 'b': [2, 3]}
    >>> share_out(3, {"b": [2], "a": [2, 0]})
    {'b': [1], 'a': [0, 2]}
    """
    base, extra = divmod(count, len(owned))
    shares: dict[str, list[int]] = {member: [] for member in owned}
    free = set(range(count))
    # the larger shares go to those who already hold more, ties to the smaller name
    by_holding = sorted(owned, key=lambda member: (-len(set(owned[member])), member))
    quota = {member: base + (rank < extra) for rank, member in enumerate(by_holding)}
    for member in by_holding:
        kept = sorted(free.intersection(owned[member]))[: quota[member]]
        shares[member].extend(kept)
        free.difference_update(kept)
    left = sorted(free)
    for member in sorted(owned):
        while len(shares[member]) < quota[member]:
            shares[member].append(left.pop(0))
        shares[member].sort()
    return shares


def _to_bytes(numbers: Iterable[int]) -> bytes:
    return ",".join(map(str, sorted(numbers))).encode()


def _from_bytes(raw: bytes) -> list[int]:
    return [int(number) for number in raw.decode().split(",") if number]


def new_assignor() -> type[AbstractPartitionAssignor]:
    """Return a fresh assignor class for one consumer; it remembers what that consumer owns."""

    class CoPartitionAssignor(AbstractPartitionAssignor):
        name = "campaignwatch-copartition"
        version = 0
        owned: tuple[int, ...] = ()

        @classmethod
        def assign(
            cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
        ) -> dict[str, ConsumerProtocolMemberAssignment]:
            topics = sorted({topic for m in members.values() for topic in m.subscription})
            numbers = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
            count = max((max(ps, default=-1) for ps in numbers.values()), default=-1) + 1
            owned = {member: _from_bytes(meta.user_data) for member, meta in members.items()}
            shares = share_out(count, owned)
            return {
                member: ConsumerProtocolMemberAssignment(
                    cls.version,
                    [(t, [p for p in share if p in numbers[t]]) for t in topics],
                    b"",
                )
                for member, share in shares.items()
            }

        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), _to_bytes(cls.owned))

        @classmethod
        def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
            cls.owned = tuple({p for _, ps in assignment.assignment for p in ps})

    return CoPartitionAssignor
