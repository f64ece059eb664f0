"""``check``: what a worker would stumble over, in lines, without secrets."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.cli.main import app

KEY = "a-secret-of-thirty-two-characters"


def run(*arguments: str, **env: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of ``check``."""
    result = CliRunner().invoke(app, ["check", *arguments], env={"CAMPAIGNWATCH_HASH_KEY": KEY, **env})
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CAMPAIGNWATCH_CONFIG", raising=False)


def test_good_settings() -> None:
    """Exit code 0, and it says what was checked."""
    Path("campaignwatch.yaml").write_text("workers: 3\n")
    assert run() == (0, "campaignwatch.yaml: no mistakes\n", "")


def test_the_file_can_be_named_by_option_or_environment(tmp_path: Path) -> None:
    """The option wins."""
    (tmp_path / "one.yaml").write_text("workers: 1000\n")
    (tmp_path / "two.yaml").write_text("workers: 2\n")
    code, _out, err = run(CAMPAIGNWATCH_CONFIG="one.yaml")
    assert (code, err.split(": ")[1]) == (2, "one.yaml:1")
    assert run("--config", "two.yaml", CAMPAIGNWATCH_CONFIG="one.yaml")[0] == 0


def test_a_mistake_in_the_file_names_its_line() -> None:
    """File, line, key, how to mend it."""
    Path("campaignwatch.yaml").write_text("workers: 3\nboard_prt: 8081\n")
    mistake = "error: campaignwatch.yaml:2: board_prt: unknown setting; did you mean board_port?\n"
    assert run() == (2, "", mistake)


def test_show_lists_every_setting_and_its_place_but_no_secret() -> None:
    """Where a value comes from is the question; the key itself is nobody's business."""
    Path("campaignwatch.yaml").write_text("workers: 3\n")
    code, out, _err = run("--show", "--broker", "kafka:9092")
    assert code == 0
    rows = {cells[0]: cells[1:] for line in out.splitlines() if len(cells := line.replace("│", " ").split()) > 1}
    assert rows["workers"] == ["3", "campaignwatch.yaml:1"]
    assert rows["broker"] == ["kafka:9092", "command", "line"]
    assert rows["board_port"] == ["8080", "default"]
    assert "(set, not shown)" in out
    assert KEY not in out


def test_a_missing_hash_key() -> None:
    """A worker would not start without it."""
    code, _out, err = run(CAMPAIGNWATCH_HASH_KEY="")
    assert code == 2
    assert err.startswith("error: CAMPAIGNWATCH_HASH_KEY: is not set")


def test_a_state_folder_that_is_a_file(tmp_path: Path) -> None:
    """Found before any worker starts, with the place of the setting."""
    (tmp_path / "state").write_text("")
    Path("campaignwatch.yaml").write_text("state_dir: state/here\n")
    code, _out, err = run()
    assert code == 2
    mistake = f"{tmp_path}/state is not a folder; give the path of a folder"
    assert err == f"error: campaignwatch.yaml:1: state_dir: {mistake}\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_state_folder_without_rights(tmp_path: Path) -> None:
    """Rights are looked at without making anything."""
    tmp_path.chmod(0o500)
    code, _out, err = run()
    tmp_path.chmod(0o700)
    assert code == 2
    assert "cannot be written to" in err
    assert not (tmp_path / "campaignwatch-state").exists()
