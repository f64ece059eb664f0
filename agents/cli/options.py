"""Options that several commands share, and the way from them to settings.

Each command takes its settings from the same four places (defaults, file, environment, options), so ``--broker`` means
the same everywhere and ``check`` shows what every command would see.

Easy to get wrong: a settings file that was *asked for* must exist; ``campaignwatch.yaml`` in the current folder is
read if it is there.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agents.cli.errors import UserError
from streams.settings import Settings, load_with_places

__all__ = ["BrokerOption", "ConfigOption", "Loaded", "PrefixOption", "load_settings", "require_hash_key"]

CONFIG_VARIABLE = "CAMPAIGNWATCH_CONFIG"
"""Path of the settings file when there is no ``--config``. Empty means: read none, as `up` tells its children."""

DEFAULT_FILE = Path("campaignwatch.yaml")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Settings file (default: campaignwatch.yaml here, if there is one)."),
]
BrokerOption = Annotated[str | None, typer.Option("--broker", "-b", help="Kafka's address, host:port.")]
PrefixOption = Annotated[str | None, typer.Option("--topic-prefix", help="Put before every topic name.")]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with their origin."""

    settings: Settings
    places: dict[str, str]
    """For each setting that somebody set, where (``file:line``, ``environment``, ``command line``)."""
    file: Path | None
    """The settings file that was read."""


def load_settings(config: Path | None = None, **options: object) -> Loaded:
    """Return the settings of this process; an option that is ``None`` was not given.

    Raises:
        SettingsError: with a line for each mistake.
    """
    file = _settings_file(config)
    settings, places = load_with_places(file, os.environ, options=options)
    return Loaded(settings, places, file)


def require_hash_key(settings: Settings) -> Settings:
    """Return the settings if they have the key that user ids are hashed with.

    Raises:
        UserError: when it is missing.
    """
    if not settings.hash_key:
        raise UserError(
            "CAMPAIGNWATCH_HASH_KEY: is not set and user ids must be hashed; "
            'set it once and keep it: export CAMPAIGNWATCH_HASH_KEY="$(openssl rand -hex 32)"'
        )
    return settings


def _settings_file(config: Path | None) -> Path | None:
    if config is not None:
        return config
    if CONFIG_VARIABLE in os.environ:
        named = os.environ[CONFIG_VARIABLE]
        return Path(named).expanduser() if named else None
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None
