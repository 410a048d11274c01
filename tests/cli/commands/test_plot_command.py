"""`uphill plot`."""

import json
from pathlib import Path

import pytest

from command_line import run_cli
from small_runs import write_run
from uphill.cli.commands.plot import show_pictures

PICTURES = ("png", "svg")


def test_plot_prints_where_the_pictures_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(Path("ppo"), [[1.0, 2.0], [2.0, 3.0]], scores=[2.0, 3.0])
    write_run(Path("a2c"), [[1.0, 2.0], [2.0, 3.0]], scores=[1.0, 2.0], algo="a2c")
    write_run(Path("vpg"), [[1.0, 2.0]], algo="vpg")
    assert run_cli("plot", "ppo", "a2c", "vpg", "--out", "out", "--json") == 0
    result = json.loads(capfd.readouterr().out)
    names = [f"out/{name}.{k}" for name in ("curve", "profile", "improvement") for k in PICTURES]
    assert result["pictures"] == names
    assert all(Path(path).stat().st_size > 1000 for path in names)
    (row,) = result["improvements"]
    assert (row["x"], row["y"], row["probability"]) == ("ppo", "a2c", 0.875)
    (sentence,) = result["left_out"]
    assert sentence.startswith("vpg is in the curves alone")

    assert run_cli("plot", "ppo", "--against", "seconds") == 0
    assert capfd.readouterr().out.split() == ["ppo/curve-seconds.png", "ppo/curve-seconds.svg"]
    assert run_cli("plot", "ppo", "a2c", "--column", "rollout/num_episodes", "--out", "x.svg") == 0
    assert capfd.readouterr().out == "x.svg\n"
    show_pictures(result)
    first, *rest = capfd.readouterr().out.splitlines()
    assert first == "P(ppo > a2c) = 0.88, 95 % interval 0.26 to 0.99"
    assert rest == [sentence, *names]
