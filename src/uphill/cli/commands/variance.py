"""`uphill variance`, and its tables."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uphill.cli.environment import EnvironmentOptions
from uphill.cli.output import stdout_for
from uphill.cli.parsing import JsonOption, parse, take_env_kwargs
from uphill.runs.studies import VarianceSettings
from uphill.words import duration


@dataclass(frozen=True, kw_only=True)
class VarianceOptions(EnvironmentOptions, VarianceSettings, JsonOption):
    """Measure the variance and the bias of every estimator of the policy gradient, with every
    baseline, on the same episodes."""

    # How these are typed.
    run: Path | None = None
    out: Path | None = None


def command(argv: list[str]) -> None:
    """Measure the estimators of the gradient, and show them as tables."""
    argv, env_kwargs = take_env_kwargs(argv)
    options = parse(VarianceOptions, argv, "uphill variance")
    from uphill.studies.variance.measure import measure_variance

    given = vars(options)
    is_json = given.pop("json")
    with stdout_for(is_json) as show:
        result = measure_variance(**given, env_kwargs=env_kwargs)
        if is_json:
            show(result)
        else:
            _show_variance(result)


def _show_variance(result: dict[str, Any]) -> None:
    rows = result["estimators"]
    reference = rows[result["reference"]]
    print(f"{'estimator':24}{'baseline':20}{'variance':>10}{'95 % interval':>18}", end="")
    print(f"{'bias':>9}{'95 % interval':>17}{'SNR':>8}")
    for row in rows:
        low, high = row["relative_variance_ci95"]
        least, most = (f"{100 * x:.0f}" for x in row["bias_ci95"])
        bias, interval = f"{100 * row['bias']:.0f} %", f"{least} to {most} %"
        if row["bias"] <= (chance := row["bias_by_chance"]):
            bias = f"≤ {100 * chance:.0f} %" if chance >= 0.005 else "0 %"
        if row is reference:
            bias, interval = "–", "reference"
        print(
            f"{row['estimator']:24}{row['baseline']:20}{row['relative_variance']:10.3f}"
            f"{f'{low:.3f} to {high:.3f}':>18}{bias:>9}{interval:>17}{row['snr']:8.2f}"
        )
    print(
        "\nVariance is relative to reward-to-go without a baseline; bias is the distance between "
        f"expectations,\nin per cent of the length of the gradient ({reference['estimator']} less "
        f"its {reference['baseline']}); SNR is ‖E g‖² over the variance.\n"
        "≤ stands where what was measured is no more than chance alone would give."
    )
    print(f"\n{'rollouts':>10}{'variance':>14}{'95 % interval':>24}")
    for row in result["rollouts"]:
        low, high = row["variance_ci95"]
        name = f"{row['estimator']}, baseline {row['baseline']}"
        print(
            f"{row['rollouts']:10}{row['variance']:14.4g}{f'{low:.4g} to {high:.4g}':>24}  {name}"
        )
    print(
        f"\n{result['steps']:,} steps, {duration(result['seconds'])}; picture {result['picture']}"
    )
