"""Groups and their replay, without a broker: what counts and what does not."""

import msgspec
import pytest

from streams.kafka.groups import (
    PART_BYTES,
    Change,
    Fence,
    LogGap,
    LogReplay,
    Part,
    Progress,
    decode_record,
    encode_fence,
    encode_group,
)


class Book:
    """A state of plain entries, fed by a replay."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.replay = LogReplay(progress or Progress(), self.apply)

    def apply(self, changes: object, replace: bool) -> None:
        if replace:
            self.entries.clear()
        for key, value in changes:  # type: ignore[attr-defined]
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    def read(self, *values: bytes) -> "Book":
        for value in values:
            self.replay.feed(self.replay.progress.position, value)
        return self

    def read_log(self, log: list[bytes], start: int = 0) -> "Book":
        for offset in range(max(start, self.replay.progress.position), len(log)):
            self.replay.feed(offset, log[offset])
        return self


def fence(nonce: str = "log-1", log_id: str = "") -> bytes:
    return encode_fence(Fence(log_id, "test", nonce))


def big(count: int, fill: bytes = b"v") -> list[Change]:
    """Changes that need ``count`` parts."""
    return [(b"big", fill * (PART_BYTES * count - PART_BYTES // 2))]


def opened(*, nonce: str = "log-1") -> tuple[Book, list[bytes]]:
    log = [fence(nonce)]
    return Book().read_log(log), log


def group(book: Book, changes: list[Change], after: dict[str, int], **options: bool) -> list[bytes]:
    return encode_group(changes, progress=book.replay.progress, after=after, **options)


def test_whole_group_counts() -> None:
    """A group behind its fence changes the state and moves every part of the progress."""
    book, log = opened()
    log += group(book, [(b"a", b"1"), (b"b", b"2"), (b"a", None)], {"clicks": 5})
    book.read_log(log)
    assert book.entries == {b"b": b"2"}
    progress = book.replay.progress
    assert (progress.log_id, progress.epoch, progress.seq) == ("log-1", 0, 1)
    assert (progress.offsets, progress.position) == ({"clicks": 5}, 2)


def test_group_without_changes_still_moves_the_offsets() -> None:
    """A slice of nothing but duplicates has a group, too."""
    book, log = opened()
    parts = group(book, [], {"clicks": 9})
    assert len(parts) == 1
    book.read_log(log + parts)
    assert book.replay.progress.offsets == {"clicks": 9}


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 20, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES + 3])
def test_changes_of_any_size_are_cut_into_parts(size: int) -> None:
    """One huge change is as good as many small ones: no record outgrows what a broker takes."""
    book, log = opened()
    parts = group(book, [(b"k", b"x" * size), (b"l", None)], {"clicks": 1})
    assert max(map(len, parts)) < PART_BYTES + 1_000
    book.read_log(log + parts)
    assert book.entries == {b"k": b"x" * size}


def test_half_group_does_not_count() -> None:
    """What a killed owner left unfinished is dropped by the next fence, and the next group counts."""
    book, log = opened()
    log += group(book, big(3), {"clicks": 5})[:2]
    log.append(fence())
    book.read_log(log)
    assert book.entries == {}
    log += group(book, [(b"a", b"1")], {"clicks": 7})
    book.read_log(log)
    assert book.entries == {b"a": b"1"}


def test_half_group_keeps_the_position_before_it() -> None:
    """A local copy must read a half group again from its first part."""
    book, log = opened()
    log += group(book, big(3), {"clicks": 5})
    book.read_log(log[:-1])
    assert book.replay.progress.position == 1
    kept = Progress("log-1", 0, 0, {}, 1)
    assert Book(kept).read_log(log).entries == dict(big(3))


def test_end_of_a_group_without_its_beginning_does_not_count() -> None:
    """Parts whose first part was never seen are ignored."""
    book, log = opened()
    log += group(book, big(3), {"clicks": 5})[1:]
    book.read_log(log)
    assert (book.entries, book.replay.ignored) == ({}, 2)
    assert book.replay.progress.position == 3


@pytest.mark.parametrize("repeated", [slice(0, 1), slice(0, 2), slice(1, 2), slice(1, 3), slice(2, 3), slice(0, 3)])
def test_batch_sent_again_inside_a_group_is_harmless(repeated: slice) -> None:
    """A producer repeats a batch whose acknowledgement was lost, before it sends the next."""
    book, log = opened()
    parts = group(book, big(3), {"clicks": 5})
    log += parts[: repeated.stop] + parts[repeated] + parts[repeated.stop :]
    book.read_log(log)
    assert book.entries == dict(big(3))
    assert book.replay.progress.seq == 1
    assert book.replay.progress.position == len(log)


def test_repeated_group_counts_once() -> None:
    """A whole group again is ignored: its number is taken."""
    book, log = opened()
    first = group(book, [(b"a", b"1")], {"clicks": 5})
    book.read_log(log := log + first)
    second = group(book, [(b"a", None)], {"clicks": 6})
    book.read_log(log + second + first)
    assert book.entries == {}
    assert (book.replay.progress.seq, book.replay.unfitting) == (2, 0)


def test_zombie_group_behind_a_fence_does_not_count() -> None:
    """A fitting group of an older epoch right behind the new fence is ignored."""
    book, log = opened()
    stale = group(book, [(b"a", b"zombie")], {"clicks": 5})
    log += [fence(), *stale]
    book.read_log(log)
    assert (book.entries, book.replay.unfitting) == ({}, 0)
    log += group(book, [(b"a", b"owner")], {"clicks": 4})
    assert book.read_log(log).entries == {b"a": b"owner"}


def test_zombie_parts_between_ours_do_not_mix() -> None:
    """A zombie's parts between two batches of a group spoil that group; nothing mixed is applied."""
    book, log = opened()
    stale = group(book, big(3, b"z"), {"clicks": 5})
    log.append(fence())
    book.read_log(log)
    ours = group(book, big(3, b"o"), {"clicks": 4})
    log += [ours[0], stale[1], ours[1], ours[2]]
    assert book.read_log(log).entries == {}


@pytest.mark.parametrize(
    ("change", "unfitting"),
    [
        ({"epoch": 0, "seq": 1}, 0),
        ({"seq": 1}, 0),
        ({"seq": 3}, 1),
        ({"before": {"clicks": 4}}, 1),
        ({"before": {}}, 1),
        ({"before": {"clicks": 5, "orders": 0}}, 1),
        ({"epoch": 5}, 1),
    ],
)
def test_group_that_does_not_continue_the_state_is_ignored(change: dict[str, object], unfitting: int) -> None:
    """Number, "before" and epoch must all fit; what only another history explains is counted apart."""
    book, log = opened()
    log += group(book, [(b"a", b"1")], {"clicks": 5})
    log.append(fence())
    book.read_log(log)
    part = decode_record(group(book, [(b"a", b"2")], {"clicks": 6})[0])
    assert isinstance(part, Part)
    for name, value in change.items():
        setattr(part, name, value)
    book.read(msgspec.msgpack.encode(part))
    assert book.entries == {b"a": b"1"}
    assert (book.replay.ignored, book.replay.unfitting) == (1, unfitting)


def test_snapshot_replaces_the_state() -> None:
    """What a snapshot does not hold is gone."""
    book, log = opened()
    log += group(book, [(b"a", b"1"), (b"b", b"2")], {"clicks": 5})
    book.read_log(log)
    log += group(book, [(b"b", b"2")], {"clicks": 5}, snapshot=True)
    assert book.read_log(log).entries == {b"b": b"2"}


def test_truncated_log_begins_with_a_snapshot() -> None:
    """A snapshot alone gives state, epoch and identity; the owner's later groups follow it."""
    book, log = opened()
    log += group(book, [(b"a", b"1")], {"clicks": 5})
    book.read_log(log)
    start = len(log)
    log += group(book, [*big(2), (b"a", b"1")], {"clicks": 5}, snapshot=True)
    book.read_log(log)
    log += group(book, [(b"c", b"3")], {"clicks": 6})
    book.read_log(log)
    fresh = Book(Progress(position=start)).read_log(log)
    assert fresh.entries == book.entries
    assert fresh.replay.progress == book.replay.progress


def test_log_bytes_are_what_lies_behind_the_last_snapshot() -> None:
    """They decide when the next snapshot is due, on whatever the count was begun."""
    book, log = opened()
    log += group(book, [(b"a", b"1" * 100)], {"clicks": 5})
    book.read_log(log)
    assert book.replay.progress.log_bytes == sum(map(len, log))
    snapshot = group(book, [(b"a", b"1" * 100)], {"clicks": 5}, snapshot=True)
    book.read_log(log := log + snapshot)
    assert (book.replay.progress.log_bytes, book.replay.progress.snapshot_bytes) == (0, len(snapshot[0]))


def test_own_group_is_taken_without_reading_it() -> None:
    """``written`` leaves the same progress and state as reading the group back."""
    book, log = opened()
    twin, _ = opened()
    changes = [*big(2), (b"a", b"1")]
    parts = group(book, changes, {"clicks": 5})
    book.read_log(log + parts)
    twin.replay.written(changes, {"clicks": 5}, parts)
    assert (twin.entries, twin.replay.progress) == (book.entries, book.replay.progress)
    snapshot = group(book, changes, {"clicks": 5}, snapshot=True)
    book.read(*snapshot[:-1])
    book.replay.feed(len(log) + len(parts) + len(snapshot) - 1, snapshot[-1])
    twin.replay.written(None, {"clicks": 5}, snapshot)
    assert (twin.entries, twin.replay.progress) == (book.entries, book.replay.progress)


def test_first_fence_names_the_log() -> None:
    """The identity is the nonce of the record at offset 0, not what its writer believed of the log."""
    book = Book().read(fence("new", log_id="old"), fence("other", log_id="old"))
    assert book.replay.progress.log_id == "new"
    assert Fence("known", "test", "random").names(0) == "random"
    assert Fence("known", "test", "random").names(7) == "known"


def test_missing_records_are_noticed() -> None:
    """A hole, which a truncation tears while a log is read, must not look like a log without it."""
    book, log = opened()
    with pytest.raises(LogGap, match="offset 2 follows 0"):
        book.replay.feed(2, log[0])
    with pytest.raises(LogGap):
        book.replay.feed(0, log[0])


def test_reading_can_begin_again_after_an_interruption() -> None:
    """After ``rewind`` the records from the position on are wanted again."""
    book, log = opened()
    parts = group(book, big(3), {"clicks": 5})
    book.read_log(log + parts[:1])
    book.replay.rewind()
    assert book.read_log(log + parts).entries == dict(big(3))
