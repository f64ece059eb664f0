"""The files of the container stack: valid by their schemas, and everything they name exists."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from agents.cli.main import app
from streams.metrics import Metrics
from streams.rolling import ROLLING_MS
from streams.settings import load

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
PROVISIONING = ROOT / "grafana" / "provisioning"
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("campaignwatch:")]


def test_follows_the_compose_specification() -> None:
    """The official JSON Schema of Compose accepts the file."""
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    result = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_services_refer_to_each_other() -> None:
    """What a service waits for, and each named volume, is defined; waiting for health needs a health check."""
    for service in SERVICES.values():
        needed = service.get("depends_on", [])
        assert set(needed) <= set(SERVICES)
        for name, how in needed.items() if isinstance(needed, dict) else ():
            assert how["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]
        for source in (volume.partition(":")[0] for volume in service.get("volumes", [])):
            assert source.startswith((".", "/")) or source in COMPOSE["volumes"]


def test_mounted_files_exist() -> None:
    """Every file or folder mounted from the repository is in it."""
    mounted = [v.partition(":")[0] for service in SERVICES.values() for v in service.get("volumes", [])]
    ours = [path for path in mounted if path.startswith(".")]
    assert ours
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_ports_are_open_on_loopback_only() -> None:
    """Nothing is reachable from other machines unless somebody decides so."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_pinned() -> None:
    """No image moves by itself."""
    assert all(re.search(r":v?\d+\.\d+\.\d+$", service["image"]) for service in SERVICES.values())


def test_kafka_is_the_one_that_tests_use() -> None:
    """The stack runs the version that the integration suite runs against."""
    version = re.search(r"<kafka.version>(.+)</", (ROOT / "tests" / "kafka" / "pom.xml").read_text(encoding="utf-8"))
    assert version
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


@pytest.mark.parametrize("name", OURS)
def test_commands_exist(name: str) -> None:
    """The command line accepts each service's command with its options."""
    result = CliRunner().invoke(app, [*map(str, SERVICES[name]["command"]), "--help"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", OURS)
def test_environment_is_made_of_settings(name: str) -> None:
    """Variables of compose file and Dockerfile are accepted as settings."""
    given = dict(re.findall(r"(CAMPAIGNWATCH_[A-Z_]+)=(\S+)", DOCKERFILE))
    given |= {key: str(value) for key, value in SERVICES[name]["environment"].items()}
    assert given["CAMPAIGNWATCH_HASH_KEY"].startswith("${CAMPAIGNWATCH_HASH_KEY:?")
    settings = load(None, {**given, "CAMPAIGNWATCH_HASH_KEY": "x" * 32})
    assert settings.broker == "kafka:9092"
    assert settings.metrics_host == "0.0.0.0"


def test_state_is_kept_where_the_image_allows() -> None:
    """The workers' volume is the folder that the Dockerfile makes for the user it runs as."""
    state = re.search(r"CAMPAIGNWATCH_STATE_DIR=(\S+)", DOCKERFILE)
    assert state
    assert SERVICES["worker"]["volumes"] == [state[1]]
    assert re.search(rf"install --directory --owner (\w+) .* {state[1]}", DOCKERFILE)


def test_dockerfile_copies_what_exists_and_is_not_ignored() -> None:
    """Every source of a COPY is in the repository and let through by .dockerignore."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [s for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.M) for s in line.split()]
    assert set(copied) == allowed
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_image_runs_without_root() -> None:
    """The last stage names a user, and dependencies are installed by hash."""
    assert re.findall(r"^USER (\S+)$", DOCKERFILE.rpartition("\nFROM ")[2], re.M) == ["campaignwatch"]
    assert "--require-hashes -r requirements.txt" in DOCKERFILE


def test_prometheus_finds_the_workers() -> None:
    """Prometheus asks for the service and the port on which workers serve metrics."""
    config = yaml.safe_load((ROOT / "grafana" / "prometheus.yml").read_text(encoding="utf-8"))
    found = config["scrape_configs"][0]["dns_sd_configs"][0]
    assert found["names"] == ["worker"]
    assert set(found["names"]) <= set(SERVICES)
    assert found["port"] == load(None, {}).metrics_port


def test_provisioning_names_what_the_stack_mounts() -> None:
    """Grafana's data source is the Prometheus service, and its dashboards lie where they are mounted."""
    source = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((PROVISIONING / "dashboards" / "campaignwatch.yml").read_text())["providers"][0]
    mounts = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert mounts["./grafana/dashboards"] == provider["options"]["path"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent.as_posix() == provider["options"]["path"]
    assert (ROOT / "grafana" / "dashboards" / home.name).exists()
    assert {panel["datasource"]["uid"] for board in DASHBOARDS for panel in panels(board)} == {source["uid"]}


def panels(board: Path) -> Iterator[dict[str, Any]]:
    """Yield a dashboard's panels."""
    yield from json.loads(board.read_text(encoding="utf-8"))["panels"]


def queries(board: Path) -> list[str]:
    """Return a dashboard's queries with Grafana's variables filled in."""
    found = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    return [expr.replace("$__rate_interval", "1m").replace("$window", "5m") for expr in found]


def declared() -> dict[str, set[str]]:
    """Return each sample name that a worker can export, with its family's type."""
    suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
    families = list(Metrics().registry.collect())
    return {family.name + suffix: {family.type} for family in families for suffix in suffixes.get(family.type, [""])}


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.stem)
def test_dashboards_ask_for_metrics_that_exist(board: Path) -> None:
    """No panel can stay empty because of a misspelt name."""
    names = {name for expr in queries(board) for name in re.findall(r"campaignwatch_\w+", expr)}
    assert names
    assert names <= set(declared())


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.stem)
def test_dashboards_are_well_formed(board: Path) -> None:
    """Ids are unique, panels do not overlap, each has a title, and the window variable offers what is exported."""
    found = list(panels(board))
    assert len({panel["id"] for panel in found}) == len(found)
    cells: set[tuple[int, int]] = set()
    for panel in found:
        at = panel["gridPos"]
        mine = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert cells.isdisjoint(mine)
        assert at["x"] + at["w"] <= 24
        assert panel["title"]
        cells |= mine
    variables = {v["name"]: v["query"] for v in json.loads(board.read_text())["templating"]["list"]}
    assert variables["window"].split(",") == list(ROLLING_MS)


@pytest.mark.prometheus
def test_promtool_accepts_configuration_and_queries(tmp_path: Path) -> None:
    """Prometheus' own checker accepts its configuration and every dashboard query."""
    promtool = shutil.which("promtool")
    assert promtool
    subprocess.run([promtool, "check", "config", str(ROOT / "grafana" / "prometheus.yml")], check=True)
    every = [expr for board in DASHBOARDS for expr in queries(board)]
    rules = [{"record": "q", "expr": expr, "labels": {"n": str(n)}} for n, expr in enumerate(every)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    subprocess.run([promtool, "check", "rules", str(file)], check=True)
