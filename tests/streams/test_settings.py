"""Settings from file, environment and options: all mistakes at once, one line each, no secrets."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streams.settings import RULES, Settings, SettingsError, example_yaml, load, load_with_places

KEY = "k" * 32
ROOT = Path(__file__).resolve().parents[2]


def problems(path: Path | None = None, env: dict[str, str] | None = None, **options: object) -> list[str]:
    """Return the lines that loading gives."""
    with pytest.raises(SettingsError) as caught:
        load(path, env or {}, options=options)
    return caught.value.problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A settings file to write to."""
    return tmp_path / "campaignwatch.yaml"


def test_defaults_are_valid() -> None:
    """Without any source the defaults hold, and they pass their own limits."""
    settings = load(None, {})
    assert settings == Settings()
    assert load(None, settings.environment()) == settings


def test_later_sources_win(file: Path) -> None:
    """Defaults, then file, then environment, then command line."""
    file.write_text("workers: 3\npartitions: 8\nboard_port: 1000\n")
    env = {"CAMPAIGNWATCH_PARTITIONS": "9", "CAMPAIGNWATCH_BOARD_PORT": "2000"}
    settings, places = load_with_places(file, env, options={"board_port": 3000, "workers": None})
    assert (settings.workers, settings.partitions, settings.board_port) == (3, 9, 3000)
    assert places == {"workers": f"{file}:1", "partitions": "environment", "board_port": "command line"}


def test_every_mistake_is_reported_at_once(file: Path) -> None:
    """One line each, with place, key and what to do."""
    file.write_text("brokr: a:1\nworkers: many\nstore: [memory]\nlog_level:\nworkers: 2\n")
    assert problems(file, {"CAMPAIGNWATCH_PARTITIONS": "0", "CAMPAIGNWATCH_WORKRS": "1"}, board_port=70_000) == [
        f"{file}:3: store: must be a single value, not a list or a group; write 'key: value'",
        f"{file}:4: log_level: has no value; give one or remove the line",
        f"{file}:5: workers: is given twice (first in {file}:2); remove one",
        f"{file}:1: brokr: unknown setting; did you mean broker?",
        f"{file}:2: workers: 'many' is not allowed; give a whole number from 1 to 64",
        "environment: CAMPAIGNWATCH_PARTITIONS: '0' is not allowed; give a whole number from 1 to 1000",
        "environment: CAMPAIGNWATCH_WORKRS: unknown setting; did you mean CAMPAIGNWATCH_WORKERS?",
        "command line: --board-port: '70000' is not allowed; give a whole number from 1 to 65535",
    ]


@pytest.mark.parametrize("text", ["short", "with spaces in it, and long", "ü" * 20, "k" * 65, KEY + "\n"])
def test_a_wrong_hash_key_is_never_repeated(file: Path, text: str) -> None:
    """Neither from the environment nor from the file."""
    file.write_text(yaml.safe_dump({"hash_key": text}))
    lines = problems(file, {"CAMPAIGNWATCH_HASH_KEY": text})
    assert len(lines) == 2
    assert not any(text.strip() in line for line in lines)
    assert all("openssl rand -hex 32" in line for line in lines)


def test_the_hash_key_is_not_in_the_representation() -> None:
    """What is logged of settings does not hold the key."""
    assert KEY not in repr(Settings(hash_key=KEY))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("broker", "localhost"),
        ("broker", "kafka://localhost:9092"),
        ("broker", "localhost:99999"),
        ("broker", "localhost:0"),
        ("broker", "a:1, b:2"),
        ("broker", "a:1\n"),
        ("topic_prefix", "a b"),
        ("topic_prefix", "a\n"),
        ("application", ""),
        ("state_dir", ""),
        ("state_dir", "~no-such-user-here/state"),
        ("workers", "3.0"),
        ("workers", "1e1"),
        ("workers", " 3"),
        ("workers", "true"),
        ("board_host", "two words"),
        ("board_host", ""),
        ("store", "Memory"),
    ],
)
def test_what_is_not_allowed(key: str, text: str) -> None:
    """Each wrong value is one line that names the variable."""
    (line,) = problems(env={f"CAMPAIGNWATCH_{key.upper()}": text})
    assert line.startswith(f"environment: CAMPAIGNWATCH_{key.upper()}: ")
    assert "\n" not in line


@pytest.mark.parametrize("text", ["a:1", "127.0.0.1:9092", "[::1]:9092", "kafka-1.example:9092,kafka-2.example:65535"])
def test_addresses_of_brokers(text: str) -> None:
    """Names, addresses, and several of them."""
    assert load(None, {"CAMPAIGNWATCH_BROKER": text}).broker == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n- b\n", ":1: is not a list of settings; write one 'key: value' per line"),
        ("workers: 2\n\tbroker: x\n", ":2: is not YAML here; write one 'key: value' per line"),
        ("a: &a [x]\nb: *a\n", ":1: a: must be a single value, not a list or a group; write 'key: value'"),
        ("? [x]\n: 1\n", ":1: a key must be a plain word; write 'key: value'"),
    ],
)
def test_files_that_are_no_settings(file: Path, text: str, line: str) -> None:
    """The first line of trouble names file and line."""
    file.write_text(text)
    assert problems(file)[0] == f"{file}{line}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, not text: one line each."""
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert problems(tmp_path / "none.yaml")[0].endswith("give the path of a readable file")
    assert problems(tmp_path)[0].endswith("give the path of a readable file")
    assert problems(binary)[0].endswith("is not UTF-8 text; save it as UTF-8")


def test_an_empty_file_changes_nothing(file: Path) -> None:
    """Comments alone are no mistake."""
    file.write_text("# nothing\n")
    assert load(file, {}) == Settings()


@pytest.mark.parametrize(
    ("env", "key"),
    [
        ({"CLOSED_DELAY_MS": "70000"}, "CAMPAIGNWATCH_CLOSED_DELAY_MS"),
        ({"REVISION_HORIZON_MS": "1000"}, "CAMPAIGNWATCH_REVISION_HORIZON_MS"),
        ({"ALLOWED_LATENESS_MS": "80000000", "DEDUPE_HORIZON_MS": "60000"}, "CAMPAIGNWATCH_ALLOWED_LATENESS_MS"),
    ],
)
def test_times_that_contradict_each_other(env: dict[str, str], key: str) -> None:
    """The line names a variable that the user has set."""
    (line,) = problems(env={f"CAMPAIGNWATCH_{name}": value for name, value in env.items()})
    assert line.startswith(f"environment: {key}: ")


def test_other_variables_are_left_alone() -> None:
    """The settings file's path and what tests use are no settings."""
    assert load(None, {"CAMPAIGNWATCH_CONFIG": "x", "CAMPAIGNWATCH_TEST_BROKER": "apache", "PATH": "/"}) == Settings()


numbers = {key: rule for key, rule in RULES.items() if rule.kind is int}


@given(st.sampled_from(sorted(numbers)), st.integers())
def test_numbers_obey_their_limits(key: str, value: int) -> None:
    """Inside the limits a number is taken as it is; outside it is one line."""
    meta = numbers[key].meta
    assert meta.ge is not None
    assert meta.le is not None
    given_number = numbers[key].parse
    if meta.ge <= value <= meta.le:
        assert given_number(str(value)) == value
    else:
        with pytest.raises(ValueError, match=r"."):
            given_number(str(value))


@given(st.dictionaries(st.sampled_from([f"CAMPAIGNWATCH_{key.upper()}" for key in RULES]), st.text()))
def test_any_environment_gives_settings_or_single_lines(env: dict[str, str]) -> None:
    """No text makes loading raise anything else."""
    lines: list[str] = []
    settings = None
    try:
        settings = load(None, env)
    except SettingsError as error:
        lines = error.problems
    assert bool(lines) == (settings is None)
    assert not any("\n" in line for line in lines)
    assert settings is None or load(None, settings.environment()) == settings


def test_settings_survive_the_environment() -> None:
    """A child process gets exactly the parent's settings."""
    settings = Settings(hash_key=KEY, workers=3, state_dir=Path("/tmp/x y"), topic_prefix="a.", store="memory")
    assert load(None, settings.environment()) == settings


def test_the_example_names_every_setting_with_its_default(file: Path) -> None:
    """Uncommented, the example is valid and changes nothing."""
    text = example_yaml()
    lines = [line[1:] for line in text.splitlines() if line.startswith("#") and not line.startswith("# ")]
    file.write_text("\n".join(lines))
    assert [line.partition(":")[0] for line in lines] == list(RULES)
    assert load(file, {}) == Settings()


def test_the_committed_example_is_up_to_date() -> None:
    """`python -m streams.settings` writes it."""
    assert (ROOT / "campaignwatch.example.yaml").read_text(encoding="utf-8") == example_yaml()


def test_every_setting_says_what_it_does() -> None:
    """Each has a sentence and a way to mend a wrong value."""
    for key, rule in RULES.items():
        assert rule.meta.description, key
        assert rule.meta.description.endswith("."), key
        assert rule.mend.startswith(("give ", "use ")), key
