"""``campaignwatch check``: every mistake in the settings at once, before anything is started.

Easy to get wrong: it must report what a worker would stumble over, all of it, and never print the hash key.
"""

import os
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from agents.cli.errors import UserError
from agents.cli.options import BrokerOption, ConfigOption, Loaded, PrefixOption, load_settings, require_hash_key
from agents.cli.tables import print_table
from streams.settings import RULES, Settings, SettingsError

__all__ = ["check"]

ShowOption = Annotated[bool, typer.Option("--show", help="Show every setting, its value and where it was set.")]


def check(
    config: ConfigOption = None,
    broker: BrokerOption = None,
    topic_prefix: PrefixOption = None,
    show: ShowOption = False,
) -> None:
    """Check the settings (file and environment): one line for each mistake, exit code 2 if there is one."""
    loaded = load_settings(config, broker=broker, topic_prefix=topic_prefix)
    if show:
        print_table(_table(loaded))
    problems = list(_problems(loaded))
    if problems:
        raise SettingsError(problems)
    typer.echo(f"{loaded.file or 'settings'}: no mistakes")


def _problems(loaded: Loaded) -> list[str]:
    problems = []
    try:
        require_hash_key(loaded.settings)
    except UserError as error:
        problems.append(str(error))
    if loaded.settings.store == "rocksdb":
        place = loaded.places.get("state_dir", "default")
        problems += [f"{place}: state_dir: {problem}" for problem in _folder_problems(loaded.settings.state_dir)]
    return problems


def _folder_problems(folder: Path) -> list[str]:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        return [f"{existing} is not a folder; give the path of a folder"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"{existing} cannot be written to; change its rights or give another folder"]
    return []


def _table(loaded: Loaded) -> Table:
    table = Table("setting", "value", "set in")
    for entry in fields(Settings):
        table.add_row(entry.name, _shown(loaded.settings, entry.name), loaded.places.get(entry.name, "default"))
    return table


def _shown(settings: Settings, key: str) -> str:
    value = getattr(settings, key)
    if RULES[key].secret:
        return "(set, not shown)" if value else "(not set)"
    return str(value) if value != "" else "(empty)"
