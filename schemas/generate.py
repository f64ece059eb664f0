"""Writes ``schemas/json/``: one JSON Schema per public topic, made from the same definitions as the decoder.

    python -m schemas.generate            write the files
    python -m schemas.generate --check    say which of them are not up to date (exit code 1)

The rule easy to get wrong: a schema says what a *reader or writer of the topic* may rely on, which is not what the
struct says. Inputs allow unknown fields, though their structs are strict; outputs always hold all their fields, though
some have defaults in Python.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from schemas.events import INPUTS, RULES
from schemas.topics import TOPICS, TopicContract

__all__ = ["FOLDER", "files", "json_schema", "main", "outdated"]

FOLDER = Path(__file__).parent / "json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What other systems write; everything else is written by us.
WRITTEN_BY_OTHERS = frozenset({*INPUTS, "campaigns"})


def json_schema(contract: TopicContract) -> dict[str, Any]:
    """Return the JSON Schema of a topic's value.

    >>> json_schema(TOPICS["clicks"])["required"]
    ['event_id', 'type', 'event_time', 'user_id']
    """
    _, parts = msgspec.json.schema_components([contract.schema], ref_template="#/$defs/{name}")
    for part in parts.values():
        part.pop("additionalProperties", None)
        if contract.name not in WRITTEN_BY_OTHERS and "properties" in part:
            part["required"] = list(part["properties"])
    body = parts.pop(contract.schema.__name__) if contract.schema else {}
    schema = {
        "$schema": DIALECT,
        "$id": f"urn:campaignwatch:{contract.name}",
        **body,
        "description": f"{contract.description} Key: {contract.key}.",
    }
    if rules := RULES.get(contract.name):
        schema["allOf"] = [rule.schema for rule in rules]
    if parts:
        schema["$defs"] = parts
    return schema


def files() -> dict[str, str]:
    """Return name and text of every file."""
    return {
        f"{contract.name}.json": json.dumps(json_schema(contract), indent=2, ensure_ascii=False) + "\n"
        for contract in TOPICS.values()
        if contract.schema is not None
    }


def outdated(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that are missing, differ, or should not be there."""
    wanted = files()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def _write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    wanted = files()
    for path in folder.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """Write or check the files; return the exit code."""
    if list(arguments) not in ([], ["--check"]):
        print("usage: python -m schemas.generate [--check]", file=sys.stderr)
        return 2
    if not arguments:
        _write(folder)
        return 0
    names = outdated(folder)
    for name in names:
        print(f"{folder / name}: not up to date; run python -m schemas.generate", file=sys.stderr)
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
