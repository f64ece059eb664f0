"""The committed JSON Schema files are those of the definitions, and complete enough to work with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.generate import FOLDER, files, json_schema, main, outdated
from schemas.topics import TOPICS

PUBLIC = [contract for contract in TOPICS.values() if contract.schema is not None]
public = pytest.mark.parametrize("contract", PUBLIC, ids=lambda contract: contract.name)


def _objects(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            yield part


def test_committed_files_are_up_to_date() -> None:
    """Who changes a contract sees the change in the review, file by file."""
    assert outdated(FOLDER) == []


def test_every_public_topic_has_a_file() -> None:
    """And no internal one has."""
    assert set(files()) == {f"{contract.name}.json" for contract in PUBLIC}
    assert all(contract.internal == (contract.schema is None) for contract in TOPICS.values())


@public
def test_schemas_are_valid(contract: Any) -> None:
    """Each is itself a valid JSON Schema."""
    Draft202012Validator.check_schema(json_schema(contract))


@public
def test_every_field_is_described_and_bounded(contract: Any) -> None:
    """A description everywhere, and a range on every number that is an amount, a count or a time."""
    for part in _objects(json_schema(contract)):
        for name, field in part["properties"].items():
            assert field.get("description"), name
            for option in field.get("anyOf", [field]):
                if option.get("type") == "integer" and name != "unexplained":
                    assert "minimum" in option, name


@public
def test_units_are_named(contract: Any) -> None:
    """Money says micros of what, time says epoch milliseconds."""
    for part in _objects(json_schema(contract)):
        for name, field in part["properties"].items():
            if name.endswith("_micros"):
                assert "micros" in field["description"], name
            if name.endswith("_ms") or name == "event_time":
                assert "milliseconds" in field["description"], name


@public
def test_outputs_promise_all_their_fields(contract: Any) -> None:
    """A reader need not ask whether a field is there; inputs promise what the struct requires."""
    ours = contract.name not in ("clicks", "orders", "social", "campaigns")
    for part in _objects(json_schema(contract)):
        assert (part["required"] == list(part["properties"])) == ours


def test_check_finds_what_differs_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A changed, a missing and a left-over file are named; afterwards nothing is."""
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "clicks.json").write_text("{}")
    (tmp_path / "orders.json").unlink()
    (tmp_path / "old.json").write_text("{}")
    assert main(["--check"], tmp_path) == 1
    assert [Path(line.split(":")[0]).name for line in capsys.readouterr().err.splitlines()] == [
        "clicks.json",
        "old.json",
        "orders.json",
    ]
    assert main([], tmp_path) == 0
    assert outdated(tmp_path) == []


def test_other_arguments_are_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2."""
    assert main(["--chek"]) == 2
    assert capsys.readouterr().err == "usage: python -m schemas.generate [--check]\n"
