"""The state of one source goes through bytes and comes back the same."""

import pytest

from streams.dedupe import event_key, pack_ids
from streams.ledger import Ledger
from streams.panes import Closed
from streams.source import Source, chunk_key, chunk_name, source_key
from streams.watermark import Watermark

KEY = event_key("u1", "e1")


def filled() -> Source:
    source = Source("clicks", dedupe_horizon_ms=3_600_000)
    source.watermark = Watermark(1_000, {"u": (2_000, 7)}, 3)
    source.ledger = Ledger(5, accepted=2)
    source.closed = Closed(500, 6)
    source.put_chunk(0, 5, pack_ids([(KEY, 5, b"d" * 8)]))
    return source


def restored(source: Source) -> Source:
    copy = Source(source.topic, dedupe_horizon_ms=3_600_000)
    for key, value in source.dump():
        if key[:1] == b"d":
            _, generation, chunk = chunk_name(key)
            copy.put_chunk(generation, chunk, value)
        else:
            assert key[1:] == b"clicks"
            copy.put(key[:1], value)
    return copy


def test_dump_restores_everything() -> None:
    """What a new owner gets is what the old one had."""
    source = filled()
    copy = restored(source)
    assert (copy.watermark, copy.ledger, copy.closed) == (source.watermark, source.ledger, source.closed)
    assert copy.seen.get(KEY, 1_000) == (5, b"d" * 8)
    assert dict(copy.dump()) == dict(source.dump())


def test_nothing_read_yet() -> None:
    """A source of which nothing was read has no ledger: where it begins is not known."""
    source = restored(Source("clicks", dedupe_horizon_ms=1))
    assert (source.watermark.value, source.ledger, source.closed) == (None, None, Closed())


def test_clear_forgets_everything() -> None:
    """A cleared source is as new."""
    source = filled()
    source.clear()
    assert dict(source.dump()) == dict(Source("clicks", dedupe_horizon_ms=1).dump())
    assert len(source.seen) == 0


def test_chunks_are_dropped() -> None:
    """An empty value forgets a chunk of ids."""
    source = filled()
    source.put_chunk(0, 5, None)
    assert source.seen.get(KEY, None) is None


@pytest.mark.parametrize("name", [("clicks", 0, 0), ("social", 437_376, 2**40)])
def test_chunk_names(name: tuple[str, int, int]) -> None:
    """Topic, generation and number of a chunk come back from its key."""
    assert chunk_name(chunk_key(*name)) == name


def test_kinds_do_not_collide() -> None:
    """Each kind of entry has keys of its own."""
    keys = [source_key(kind, "clicks") for kind in (b"w", b"l", b"c")]
    assert len({*keys, chunk_key("clicks", 0, 0)}) == 4
