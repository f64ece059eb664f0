"""``topics``: create and describe on a real broker."""

from typer.testing import CliRunner

from agents.cli.main import app
from schemas.topics import TOPICS


def run(*arguments: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of ``topics``."""
    result = CliRunner().invoke(app, ["topics", *arguments], env={"CAMPAIGNWATCH_CONFIG": ""})
    return result.exit_code, result.stdout, result.stderr


def test_create_and_describe(bootstrap: str, prefix: str) -> None:
    """Created once, then nothing is left to do; describe shows each topic as it stands."""
    where = ("--broker", bootstrap, "--topic-prefix", prefix)
    code, out, _err = run("describe", *where)
    assert code == 0
    assert out.count("missing") == len(TOPICS)
    code, out, _err = run("create", *where, "--partitions", "3")
    assert code == 0
    assert sorted(out.split()[1::2]) == sorted(prefix + name for name in TOPICS)
    assert run("create", *where, "--partitions", "3") == (0, "nothing to do: all topics exist\n", "")
    code, out, _err = run("describe", *where)
    rows = {cells[1]: cells for line in out.splitlines() if len(cells := [c.strip() for c in line.split("│")]) > 3}
    assert rows[f"{prefix}clicks"][2:5] == ["3", "1", "ready"]
    assert rows[f"{prefix}campaigns"][2] == "1"
    assert rows[f"{prefix}campaigns"][5] == "compact"
