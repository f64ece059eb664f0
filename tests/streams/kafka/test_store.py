"""Local copies: one group is written whole, nothing more than the log says, nothing that a broken disk can ruin."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka.groups import Progress
from streams.kafka.store import DamagedCopy, DiskStore, MemoryStore, Store
from tests.streams.kafka.owners import kept

PROGRESS = Progress("id", 7, 3, {"clicks": 5}, 12, 100, 10)


def test_memory_store_keeps_nothing() -> None:
    """Each start reads the log from its beginning."""
    store: Store = MemoryStore()
    store.write([(b"k", b"1")], PROGRESS, replace=False)
    assert store.load() is None
    assert store.set_aside() is None
    store.close()


def test_new_database_is_empty(tmp_path: Path) -> None:
    """A folder is made, with its parents, and nothing is found in it."""
    store = DiskStore(tmp_path / "deep" / "down")
    assert store.load() is None
    store.close()
    store.close()


def test_disk_store_keeps_entries_and_progress(tmp_path: Path) -> None:
    """What was written is there after closing and opening."""
    store = DiskStore(tmp_path / "a")
    store.write([(b"k", b"1"), (b"l", b""), (b"m", b"3"), (b"m", None)], PROGRESS, replace=False)
    store.close()
    again = DiskStore(tmp_path / "a")
    assert kept(again) == (PROGRESS, {b"k": b"1", b"l": b""})
    again.close()


def test_replacing_forgets_the_rest(tmp_path: Path) -> None:
    """A snapshot leaves only what it holds."""
    store = DiskStore(tmp_path / "a")
    store.write([(b"k", b"1"), (b"l", b"2")], PROGRESS, replace=False)
    store.write([(b"l", b"3")], PROGRESS, replace=True)
    assert kept(store) == (PROGRESS, {b"l": b"3"})
    store.close()


def test_without_closing_nothing_is_lost(tmp_path: Path) -> None:
    """A copy of the files of an open database holds every group: that is what a kill leaves."""
    store = DiskStore(tmp_path / "a")
    store.write([(b"k", b"1")], PROGRESS, replace=False)
    shutil.copytree(tmp_path / "a", tmp_path / "b", ignore=shutil.ignore_patterns("LOCK"))
    found = DiskStore(tmp_path / "b")
    assert kept(found) == (PROGRESS, {b"k": b"1"})
    found.close()
    store.close()


def test_set_aside_keeps_each_old_copy(tmp_path: Path) -> None:
    """The store is empty and usable afterwards; earlier copies are not overwritten."""
    store = DiskStore(tmp_path / "a")
    places = []
    for value in (b"1", b"2"):
        store.write([(b"k", value)], PROGRESS, replace=False)
        places.append(store.set_aside())
        assert store.load() is None
    store.write([(b"k", b"3")], PROGRESS, replace=False)
    store.close()
    assert [place.name for place in places] == ["a.set-aside-1", "a.set-aside-2"]
    for place, value in zip([*places, tmp_path / "a"], (b"1", b"2", b"3"), strict=True):
        old = DiskStore(place)
        assert kept(old) == (PROGRESS, {b"k": value})
        old.close()


@pytest.mark.parametrize("damage", ["CURRENT", "MANIFEST", "log"])
def test_damaged_copy_is_set_aside(tmp_path: Path, damage: str) -> None:
    """The copy only makes a start fast: a broken one must not keep a worker from starting."""
    store = DiskStore(tmp_path / "a")
    store.write([(b"k", b"1" * 1000)], PROGRESS, replace=False)
    store.close()
    for file in (tmp_path / "a").iterdir():
        if file.name.startswith(damage) or file.suffix == f".{damage}" or (damage == "log" and file.suffix == ".sst"):
            file.write_bytes(b"rubbish" * 50)
    again = DiskStore(tmp_path / "a")
    loaded = again.load()
    found = loaded is not None and dict(loaded[1]) == {b"k": b"1" * 1000}
    assert found or loaded is None
    if not found:
        assert (tmp_path / "a.set-aside-1").exists()
    again.close()


def test_silent_damage_is_noticed(tmp_path: Path) -> None:
    """RocksDB ends an iteration at a damaged block as if there were no more: half a state must not pass for one."""
    store = DiskStore(tmp_path / "a")
    store.write([(b"%06d" % number, os.urandom(100)) for number in range(20_000)], PROGRESS, replace=False)
    store.close()
    DiskStore(tmp_path / "a").close()
    largest = max((tmp_path / "a").glob("*.sst"), key=lambda file: file.stat().st_size)
    damaged = bytearray(largest.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 50] = bytes(50)
    largest.write_bytes(damaged)
    store = DiskStore(tmp_path / "a")
    with pytest.raises(DamagedCopy):
        kept(store)
    store.close()


def test_copy_of_another_format_is_set_aside(tmp_path: Path) -> None:
    """A progress that cannot be read is no progress."""
    from rocksdict import Options, Rdict

    raw = Rdict(str(tmp_path / "a"), Options(raw_mode=True))
    raw[b"\x00progress"] = b"rubbish"
    raw.close()
    store = DiskStore(tmp_path / "a")
    assert store.load() is None
    assert (tmp_path / "a.set-aside-1").exists()
    store.close()


def test_copy_in_use_is_not_set_aside(tmp_path: Path) -> None:
    """Another process at work is a mistake to report, not a damage to repair."""
    store = DiskStore(tmp_path / "a")
    with pytest.raises(Exception, match="lock"):
        DiskStore(tmp_path / "a")
    assert not (tmp_path / "a.set-aside-1").exists()
    store.close()


KEYS = st.binary(min_size=1, max_size=3)
GROUPS = st.lists(st.tuples(st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=5))), st.booleans()), max_size=6)


@settings(max_examples=25, deadline=None)
@given(GROUPS)
def test_disk_follows_the_model(tmp_path_factory: pytest.TempPathFactory, groups: list) -> None:  # type: ignore[type-arg]
    """Any groups, replacing or not, give what a dictionary gives."""
    store = DiskStore(tmp_path_factory.mktemp("store") / "a")
    model: dict[bytes, bytes] = {}
    for changes, replace in groups:
        store.write(changes, PROGRESS, replace=replace)
        if replace:
            model.clear()
        for key, value in changes:
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
    assert kept(store) == ((PROGRESS, model) if groups else None)
    store.close()
