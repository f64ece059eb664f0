"""Bytes that no owner wrote: one kind of error, and nothing half applied."""

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.kafka.groups import ForeignRecord, Progress, decode_record
from tests.streams.kafka.test_groups import fence, group, opened


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\x93\xa1X\xa1a\xa1b", b"\xff" * 40, fence()[:-1]])
def test_foreign_bytes_are_refused(value: bytes | None) -> None:
    """Whatever is no fence and no part raises one error, and changes nothing."""
    with pytest.raises(ForeignRecord):
        decode_record(value)
    book, _ = opened()
    before = Progress(**{name: getattr(book.replay.progress, name) for name in Progress.__struct_fields__})
    with pytest.raises(ForeignRecord):
        book.replay.feed(1, value)
    assert book.replay.progress == before


def test_part_with_foreign_changes_is_refused() -> None:
    """A part whose content is damaged is not half applied."""
    book, _ = opened()
    part = decode_record(group(book, [(b"a", b"1")], {"clicks": 5})[0])
    part.data = b"\xc1"  # type: ignore[union-attr]
    with pytest.raises(ForeignRecord):
        book.replay.feed(1, msgspec.msgpack.encode(part))
    assert book.replay.progress.seq == 0


@given(st.binary(max_size=80))
@example(b"\xdc\x00\x01\xa2\x00\x80")
def test_random_bytes_never_raise_anything_else(value: bytes) -> None:
    """Reading a foreign record has one kind of failure."""
    with contextlib.suppress(ForeignRecord):
        decode_record(value)
