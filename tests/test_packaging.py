"""The project as others install it: from a wheel, in an empty environment, with everything it needs and no more."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("agents", "streams", "schemas")
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")


def normal(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def data_files() -> set[str]:
    """Return every file of the packages that is not Python."""
    found = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {p.relative_to(ROOT).as_posix() for p in found if p.suffix != ".py" and "__pycache__" not in p.parts}


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment in which only the new installation can be found."""
    return {"PATH": os.defpath, "HOME": str(home), "CAMPAIGNWATCH_HASH_KEY": "k" * 32}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True)
    return next(folder.glob("campaignwatch-*.whl"))


@pytest.mark.slow
def test_wheel_holds_code_and_data(wheel: Path) -> None:
    """Every module and every data file of the three packages is in the wheel, and nothing else of ours."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = {p.relative_to(ROOT).as_posix() for package in PACKAGES for p in (ROOT / package).rglob("*.py")}
    assert inside == code | data_files()
    assert any(name.startswith("agents/board/static/") for name in inside)
    assert any(name.startswith("schemas/json/") for name in inside)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_installs_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """With nothing but the pinned requirements the command answers, from any folder, with an empty HOME."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements.txt")], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    subprocess.run([str(venv / "bin" / "python"), "-m", "pip", "check"], check=True)
    home = tmp_path / "home"
    home.mkdir()
    command = [str(venv / "bin" / "campaignwatch")]
    shown = subprocess.run(
        [*command, "--help"], cwd=home, env=clean_environment(home), capture_output=True, text=True, check=True
    )
    assert "worker" in shown.stdout
    subprocess.run([*command, "check"], cwd=home, env=clean_environment(home), check=True, capture_output=True)
    imports = "import agents.app, agents.board.server, streams.topology, streams.kafka.runtime"
    subprocess.run([str(venv / "bin" / "python"), "-c", imports], cwd=home, env=clean_environment(home), check=True)


def test_declared_dependencies_are_the_imported_ones() -> None:
    """What the packages import is declared, and what is declared is imported."""
    roots = {
        name.partition(".")[0]
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    known = packages_distributions()
    used = {normal(known[root][0]) for root in roots - set(PACKAGES) - set(sys.stdlib_module_names) if root}
    declared = {normal(re.split(r"[<>=~! \[;]", line)[0]) for line in PROJECT["project"]["dependencies"]}
    assert used == declared


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_hold_hashes_and_no_places(name: str) -> None:
    """Every pin has hashes, and no line names an index, a folder or a file of one machine."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert pins
    assert all(re.match(r"[a-z0-9._-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", pin) for pin in pins)
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|-e ", text)


def test_requirements_cover_what_is_declared() -> None:
    """Each declared dependency is pinned, and development pins agree with the others."""
    pins = {}
    for name in REQUIREMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        pins[name] = dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.M))
    groups = PROJECT["dependency-groups"]
    wanted = {"requirements.txt": [*PROJECT["project"]["dependencies"], *groups["build"]]}
    wanted["requirements-dev.txt"] = [*wanted["requirements.txt"], *groups["dev"]]
    for name, lines in wanted.items():
        assert {normal(re.split(r"[<>=~! \[;]", line)[0]) for line in lines} <= set(pins[name])
    assert pins["requirements.txt"].items() <= pins["requirements-dev.txt"].items()
