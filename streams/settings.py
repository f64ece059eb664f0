"""Every setting, with its default, its limits and what moves when you move it.

This is the only reader of the settings file and of the environment. Later wins: defaults, then the YAML file, then
``CAMPAIGNWATCH_…`` variables, then options of the command line. ``python -m streams.settings`` prints
``campaignwatch.example.yaml`` from the same definitions.

Easy to get wrong: report *all* mistakes at once, each in one line, and never print the hash key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any, Literal, get_type_hints

from msgspec import Meta

from streams.settings_source import (
    ENV_PREFIX,
    Given,
    Problem,
    Rule,
    from_environment,
    from_file,
    from_options,
    suggestion,
)

__all__ = ["Settings", "SettingsError", "example_yaml", "load", "load_with_places"]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LAST_EVENT_MS = 253_402_300_799_999
"""The last millisecond of the year 9999: no date library agrees on anything beyond."""

# Every pattern ends with \Z: $ would let a value end with a line break, as `$(cat key)` in a file of variables gives.
_NAME = "^[a-zA-Z0-9._-]"
_HOST = r"^[^\s/]+\Z"
_PORT = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST_PORT = r"(\[[0-9a-fA-F:.]+\]|[^\s:,\[\]/]+):" + _PORT
_WANTED_NAME = "use letters, digits, '.', '_' and '-' only"
_WANTED_HOST = "give a host name or an address"


class SettingsError(Exception):
    """Settings that cannot be used; ``problems`` holds one line for each mistake."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def _doc(text: str, **limits: Any) -> Meta:
    extra: dict[str, Any] = {key: limits.pop(key) for key in ("wanted", "secret") if key in limits}
    return Meta(description=text, extra=extra, **limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process, checked by :func:`load`. Times are milliseconds, sizes bytes.

    >>> Settings(topic_prefix="test.").topic("clicks")
    'test.clicks'
    """

    broker: Annotated[str, _doc(
        "Kafka's bootstrap servers, host:port separated by commas. `campaignwatch up` starts its own broker unless "
        "this is set somewhere.", pattern=rf"^{_HOST_PORT}(,{_HOST_PORT})*\Z",
        wanted="give host:port, several separated by commas", examples=["127.0.0.1:9092"])] = "127.0.0.1:9092"
    topic_prefix: Annotated[str, _doc(
        "Put before every topic name, so that several deployments share one cluster.", pattern=_NAME + r"{0,100}\Z",
        wanted=_WANTED_NAME, examples=["test."])] = ""
    application: Annotated[str, _doc(
        "Name of the consumer group and of the local state folders. Another name starts again from the oldest record.",
        pattern=_NAME + r"{1,100}\Z", wanted=_WANTED_NAME, examples=["campaignwatch"])] = "campaignwatch"
    hash_key: Annotated[str, _doc(
        "Secret key of the hashes that replace user ids and addresses in every output. Required except in "
        "`up --demo`. With another key the same user gets another hash. Better set as CAMPAIGNWATCH_HASH_KEY than "
        "in a file.", pattern=r"^\Z|^[!-~]{16,64}\Z", wanted="give 16 to 64 printable ASCII characters without "
        "spaces, made with: openssl rand -hex 32", secret=True)] = field(default="", repr=False)
    state_dir: Annotated[Path, _doc(
        "Folder of the local state (one per worker). It only makes a restart fast: without it a worker recovers "
        "from its state log in Kafka.", wanted="give the path of a folder")] = Path("campaignwatch-state")
    store: Annotated[Literal["rocksdb", "memory"], _doc(
        "Where local state is kept. `memory` writes no files and recovers from Kafka at each start.")] = "rocksdb"
    partitions: Annotated[int, _doc(
        "Partitions of the topics that `topics create` and `up` make: the most workers that can share the load. It "
        "cannot be changed while topics exist.", ge=1, le=1_000)] = 6
    replication_factor: Annotated[int, _doc(
        "Copies of each partition in topics that are made. Use 3 on a cluster of at least three brokers.",
        ge=1, le=10)] = 1
    workers: Annotated[int, _doc("Worker processes that `up` starts.", ge=1, le=64)] = 2
    board_host: Annotated[str, _doc(
        "Address the live page listens on. The page has no login: leave it on loopback, or put a proxy before it.",
        pattern=_HOST, wanted=_WANTED_HOST, examples=["127.0.0.1"])] = "127.0.0.1"
    board_port: Annotated[int, _doc(
        "Port of the live page; if it is taken, the next free one.", ge=1, le=65_535)] = 8080
    metrics_host: Annotated[str, _doc(
        "Address of each worker's /metrics and /healthz; 0.0.0.0 lets a Prometheus elsewhere reach them.",
        pattern=_HOST, wanted=_WANTED_HOST, examples=["127.0.0.1"])] = "127.0.0.1"
    metrics_port: Annotated[int, _doc(
        "First port for a worker's /metrics and /healthz; if it is taken, the next free one.", ge=1, le=65_535)] = 9464
    event_time_floor_ms: Annotated[int, _doc(
        "Events before this moment (epoch milliseconds) are rejected as `before_floor`. The default is 1990.",
        ge=0, le=LAST_EVENT_MS)] = 631_152_000_000
    event_time_skew_ms: Annotated[int, _doc(
        "How far an event may lie after Kafka's time of its record before it is rejected as `in_future`: the "
        "tolerance for wrong clocks of senders.", ge=0, le=7 * DAY_MS)] = 600_000
    max_record_bytes: Annotated[int, _doc(
        "Larger records are rejected as `too_large`, unread.", ge=1_024, le=524_288)] = 262_144
    dedupe_horizon_ms: Annotated[int, _doc(
        "How long, in event time, an event id is remembered at least; never shorter than `revision_horizon_ms`, so "
        "that no repeat that could still count is counted twice. Memory and disk grow with it.",
        ge=60_000, le=30 * DAY_MS)] = DAY_MS
    closed_delay_ms: Annotated[int, _doc(
        "Disorder to wait for before rules and models read a window. Longer: later alerts, fewer corrections.",
        ge=0, le=HOUR_MS)] = 2_000
    allowed_lateness_ms: Annotated[int, _doc(
        "When a window turns from provisional to final. Events after that revise it.", ge=0, le=DAY_MS)] = 60_000
    revision_horizon_ms: Annotated[int, _doc(
        "How far back a late event may revise a final window; older ones are rejected as `too_late`. State grows with "
        "it.", ge=0, le=30 * DAY_MS)] = 2 * DAY_MS
    idle_after_ms: Annotated[int, _doc(
        "A partition read to its end and silent this long stops holding back the others.",
        ge=100, le=HOUR_MS)] = 5_000
    publish_interval_ms: Annotated[int, _doc(
        "Time between two publications of changed open windows: the freshness of the board.",
        ge=50, le=60_000)] = 1_000
    slice_records: Annotated[int, _doc(
        "Most records handled as one unit. Larger: faster, but more is done again after a crash.",
        ge=1, le=50_000)] = 5_000
    fetch_wait_ms: Annotated[int, _doc(
        "How long the broker may hold back a fetch that has no data: adds to the latency of the first event after "
        "silence.", ge=1, le=10_000)] = 100
    session_timeout_ms: Annotated[int, _doc(
        "Silence after which a worker counts as dead and its partitions move. The broker may have its own limits.",
        ge=1_000, le=300_000)] = 6_000
    snapshot_bytes: Annotated[int, _doc(
        "State log size after which a snapshot is written and the log before it is cut. Larger: fewer snapshots, "
        "longer recovery.", ge=1_048_576, le=17_179_869_184)] = 67_108_864
    named_campaigns: Annotated[int, _doc(
        "Campaigns that keep their name in metrics, the first that come; the rest is `other`. Each costs Prometheus "
        "several series.", ge=0, le=10_000)] = 100
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _doc("Least severe log lines shown.")] = "info"

    def topic(self, name: str) -> str:
        """Return the topic's name on the broker: prefix and contract name."""
        return self.topic_prefix + name

    def environment(self) -> dict[str, str]:
        """Return the variables that make :func:`load` in a child process return the same settings."""
        return {ENV_PREFIX + f.name.upper(): str(getattr(self, f.name)) for f in fields(self)}


RULES: dict[str, Rule] = {key: Rule.of(kind) for key, kind in get_type_hints(Settings, include_extras=True).items()}


def load(path: Path | None, env: Mapping[str, str], *, options: Mapping[str, object] | None = None) -> Settings:
    """Return the settings from a file, the environment and command-line options, the last one wins.

    Raises:
        SettingsError: with one line for each mistake (place, key, how to mend it).

    >>> load(None, {"CAMPAIGNWATCH_WORKERS": "3"}).workers
    3
    """
    return load_with_places(path, env, options=options)[0]


def load_with_places(
    path: Path | None, env: Mapping[str, str], *, options: Mapping[str, object] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Return the settings as :func:`load` does, and for each one that somebody set, where."""
    from_yaml, found = from_file(path) if path else ([], [])
    problems = [str(problem) for problem in found]
    values: dict[str, Any] = {}
    givens: dict[str, Given] = {}
    for given in (*from_yaml, *from_environment(env), *from_options(options or {})):
        try:
            values[given.key] = _rule(given).read(given)
            givens[given.key] = given
        except Problem as problem:
            problems.append(str(problem))
    if not problems:
        settings = Settings(**values)
        problems = [_order_problem(settings, givens, *pair) for pair in ORDERED if _disordered(settings, *pair)]
    if problems:
        raise SettingsError(problems)
    return settings, {key: given.place for key, given in givens.items()}


ORDERED = (
    ("closed_delay_ms", "allowed_lateness_ms"),
    ("allowed_lateness_ms", "revision_horizon_ms"),
    ("allowed_lateness_ms", "dedupe_horizon_ms"),
)
"""Pairs of which the first may not be larger: a window closes, turns final, and only then can be revised; and a repeat
must be recognised at least as long as its window is open."""


def _rule(given: Given) -> Rule:
    if given.key in RULES:
        return RULES[given.key]
    names = [ENV_PREFIX + key.upper() if given.place == "environment" else key for key in RULES]
    raise Problem(given.place, given.name, suggestion(given.name, names))


def _disordered(settings: Settings, low: str, high: str) -> bool:
    return bool(getattr(settings, low) > getattr(settings, high))


def _order_problem(settings: Settings, givens: Mapping[str, Given], low: str, high: str) -> str:
    given = givens.get(low) or givens[high]
    what = f"{low} ({getattr(settings, low)}) is larger than {high} ({getattr(settings, high)}); swap or change one"
    return str(Problem(given.place, given.name, what))


def example_yaml() -> str:
    """Return the text of ``campaignwatch.example.yaml``: every setting, its meaning, limits and default."""
    lines = [
        "# Settings of campaignwatch. Made by `python -m streams.settings`: change streams/settings.py instead.",
        "# Copy to campaignwatch.yaml and uncomment what you change; each can also be set in the environment, for",
        "# example CAMPAIGNWATCH_BROKER, which wins over the file. Times are milliseconds, sizes bytes.",
    ]
    for entry in fields(Settings):
        rule = RULES[entry.name]
        default = '""' if entry.default == "" else entry.default
        lines += ["", *wrap(rule.meta.description or "", 108, initial_indent="# ", subsequent_indent="# ")]
        lines += [f"# ({rule.mend.removeprefix('give ')})", f"#{entry.name}: {default}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(example_yaml(), end="")
