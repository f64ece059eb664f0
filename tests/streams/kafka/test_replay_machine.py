"""Owners, zombies, crashes and truncations in any order: every way of reading the log gives the same state.

The model knows what counts from *who wrote when*, not from epochs, numbers or "before" offsets: a group counts if the
newest owner wrote all of it with nobody in between.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.kafka.groups import Change, Fence, LogReplay, Progress, encode_fence, encode_group

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.binary(min_size=8, max_size=12)), max_size=4)
OFFSETS = st.dictionaries(st.sampled_from(["clicks", "orders"]), st.integers(1, 3))
PICK = st.integers(0, 11)


def put(entries: dict[bytes, bytes], changes: list[Change]) -> None:
    for key, value in changes:
        if value is None:
            entries.pop(key, None)
        else:
            entries[key] = value


@dataclass(eq=False)
class Owner:
    """A writer with its memory; ``parts`` are on their way, ``sent`` of them are in the log."""

    progress: Progress
    entries: dict[bytes, bytes]
    replay: LogReplay = field(init=False)
    alive: bool = True
    changes: list[Change] = field(default_factory=list)
    after: dict[str, int] = field(default_factory=dict)
    snapshot: bool = False
    parts: list[bytes] = field(default_factory=list)
    sent: int = 0
    undisturbed: bool = True

    def __post_init__(self) -> None:
        self.replay = LogReplay(self.progress, self.take)

    def take(self, changes: object, replace: bool) -> None:
        if replace:
            self.entries.clear()
        put(self.entries, list(changes))  # type: ignore[call-overload]


class Replays(RuleBasedStateMachine):
    """The log of one partition, as owners come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = patch("streams.kafka.groups.PART_BYTES", 12)
        self.patch.start()
        self.log: list[bytes] = []
        self.start = 0
        self.newest: Owner | None = None
        self.owners: list[Owner] = []
        self.entries: dict[bytes, bytes] = {}
        self.offsets: dict[str, int] = {}
        self.copies: list[tuple[Progress, dict[bytes, bytes]]] = []

    def teardown(self) -> None:
        self.patch.stop()

    def idle(self) -> list[Owner]:
        return [owner for owner in self.owners if owner.alive and not owner.parts]

    def writing(self) -> list[Owner]:
        return [owner for owner in self.owners if owner.alive and owner.parts]

    def fed(self, owner: Owner) -> Owner:
        owner.replay.rewind()
        for offset in range(owner.replay.progress.position, len(self.log)):
            owner.replay.feed(offset, self.log[offset])
        return owner

    def fresh(self) -> Owner:
        return self.fed(Owner(Progress(position=self.start), {}))

    def append(self, value: bytes, writer: Owner | None) -> None:
        self.log.append(value)
        if self.newest is not None and self.newest is not writer and self.newest.sent:
            self.newest.undisturbed = False

    # -- what may happen -----------------------------------------------------

    @precondition(lambda self: len(self.idle()) + len(self.writing()) < 3)
    @rule(copy=st.none() | PICK)
    def take_over(self, copy: int | None) -> None:
        """A process comes, with a local copy or without, and fences the partition."""
        usable = [kept for kept in self.copies if kept[0].position >= self.start]
        if copy is not None and usable:
            progress, entries = deepcopy(usable[copy % len(usable)])
            owner = Owner(progress, entries)
        else:
            owner = Owner(Progress(position=self.start), {})
        self.append(encode_fence(Fence(owner.progress.log_id, "me", f"nonce-{len(self.log)}")), None)
        self.fed(owner)
        assert owner.replay.progress.epoch == len(self.log) - 1
        assert owner.replay.unfitting == 0
        self.newest = owner
        self.owners.append(owner)

    @precondition(idle)
    @rule(pick=PICK, changes=CHANGES, steps=OFFSETS)
    def begin_group(self, pick: int, changes: list[Change], steps: dict[str, int]) -> None:
        """An owner, or one that does not know yet that it is none, starts to write a group."""
        owner = self.idle()[pick % len(self.idle())]
        offsets = owner.replay.progress.offsets
        after = offsets | {topic: offsets.get(topic, 0) + step for topic, step in steps.items()}
        self.begin(owner, changes, after, snapshot=False)

    @precondition(idle)
    @rule(pick=PICK)
    def begin_snapshot(self, pick: int) -> None:
        """An owner starts to write its whole state."""
        owner = self.idle()[pick % len(self.idle())]
        self.begin(owner, list(owner.entries.items()), dict(owner.replay.progress.offsets), snapshot=True)

    def begin(self, owner: Owner, changes: list[Change], after: dict[str, int], *, snapshot: bool) -> None:
        owner.changes, owner.after, owner.snapshot, owner.sent = changes, after, snapshot, 0
        owner.parts = encode_group(changes, progress=owner.replay.progress, after=after, snapshot=snapshot)
        owner.undisturbed = owner is self.newest

    @precondition(writing)
    @rule(pick=PICK, count=st.integers(1, 3), repeat=st.booleans())
    def send(self, pick: int, count: int, repeat: bool) -> None:
        """One batch of a group reaches the log, perhaps twice; the last one is acknowledged."""
        self.send_batch(self.writing()[pick % len(self.writing())], count, repeat=repeat)

    def send_batch(self, owner: Owner, count: int, *, repeat: bool) -> None:
        batch = owner.parts[owner.sent : owner.sent + count]
        for value in batch * (1 + repeat):
            self.append(value, owner)
        owner.sent += len(batch)
        if owner.sent < len(owner.parts):
            return
        if owner is self.newest and owner.undisturbed:
            if owner.snapshot:
                self.entries = {}
            put(self.entries, owner.changes)
            self.offsets = owner.after
        self.acknowledged(owner)

    def acknowledged(self, owner: Owner) -> None:
        parts, progress = owner.parts, owner.replay.progress
        owner.parts, owner.sent = [], 0
        if progress.position + len(parts) == len(self.log):
            owner.replay.written(None if owner.snapshot else owner.changes, owner.after, parts)
            return
        wanted, epoch = progress.seq + 1, progress.epoch
        if progress.position < self.start:
            owner.alive = False
            return
        self.fed(owner)
        owner.alive = progress.epoch == epoch and progress.seq >= wanted

    @precondition(writing)
    @rule(pick=PICK)
    def die(self, pick: int) -> None:
        """A process is killed in the middle of a group."""
        owner = self.writing()[pick % len(self.writing())]
        owner.alive, owner.parts, owner.sent = False, [], 0

    @precondition(lambda self: self.idle() or self.writing())
    @rule(pick=PICK)
    def keep_copy(self, pick: int) -> None:
        """The local disk holds an owner's memory as it is now."""
        owners = self.idle() + self.writing()
        owner = owners[pick % len(owners)]
        self.copies.append(deepcopy((owner.replay.progress, owner.entries)))

    @precondition(lambda self: self.newest is not None)
    @rule()
    def truncate(self) -> None:
        """The newest owner wrote a snapshot and deletes what is before it."""
        owner = self.newest
        assert owner is not None
        if owner.alive and not owner.parts:
            base = len(self.log)
            if owner.replay.progress.position != base:
                return  # a zombie wrote: this owner does not know its own end
            self.begin(owner, list(owner.entries.items()), dict(owner.replay.progress.offsets), snapshot=True)
            self.send_batch(owner, len(owner.parts), repeat=False)
            self.start = base

    # -- what must hold ------------------------------------------------------

    @invariant()
    def replay_is_the_model(self) -> None:
        """A reader with nothing gets exactly what counts."""
        reader = self.fresh()
        assert reader.entries == self.entries
        assert reader.replay.progress.offsets == self.offsets
        assert reader.replay.unfitting == 0

    @invariant()
    def every_local_copy_is_a_shortcut(self) -> None:
        """Reading on from any copy that the log still reaches gives the same."""
        for progress, entries in deepcopy(self.copies[-4:]):
            if progress.position >= self.start:
                reader = self.fed(Owner(progress, entries))
                assert (reader.entries, reader.replay.progress.offsets) == (self.entries, self.offsets)
                assert reader.replay.unfitting == 0

    @invariant()
    def the_newest_owner_knows(self) -> None:
        """The owner in force, with nothing on its way, holds the model's state."""
        owner = self.newest
        if owner is not None and owner.alive and not owner.parts:
            assert (owner.entries, owner.replay.progress.offsets) == (self.entries, self.offsets)


TestReplays = Replays.TestCase
TestReplays.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
