"""`uphill variance`, and its tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uphill.cli.environment import EnvironmentOptions
from uphill.cli.output import say, stdout_for
from uphill.cli.parsing import JsonOption, parse, take_env_kwargs
from uphill.runs.studies import VarianceSettings
from uphill.words import INTERVAL, duration, number


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
    cells = [("estimator", "baseline", "var.", "interval", "bias", "interval", "SNR")]
    for row in rows:
        least, most = (f"{100 * x:.0f}" for x in row["bias_ci95"])
        bias, interval = f"{100 * row['bias']:.0f} %", f"{least}–{most} %"
        if row["bias"] <= (chance := row["bias_by_chance"]):
            bias = f"≤ {100 * chance:.0f} %" if chance >= 0.005 else "0 %"
        if row is reference:
            bias, interval = "ref.", "–"
        variances = row["relative_variance"], *row["relative_variance_ci95"]
        variance, low, high = (f"{x:.3f}" for x in variances)
        snr = f"{row['snr']:.2f}"
        named = row["estimator"], row["baseline"]
        cells.append((*named, variance, f"{low}–{high}", bias, interval, snr))
    _print_columns(cells)
    print()
    say(
        "Variance is relative to reward-to-go without a baseline; bias is the distance between "
        f"expectations, in per cent of the length of the gradient ({reference['estimator']} less "
        f"its {reference['baseline']}); SNR is ‖E g‖² over the variance. Intervals are those of "
        "95 %. ≤ stands where what was measured is no more than chance alone would give."
    )
    print()
    cells = [("rollouts", "estimator", "variance", INTERVAL)]
    for row in result["rollouts"]:
        name = f"{row['estimator']}, baseline {row['baseline']}"
        low, high = map(number, row["variance_ci95"])
        cells.append((str(row["rollouts"]), name, number(row["variance"]), f"{low} to {high}"))
    _print_columns(cells)
    print()
    say(f"{result['steps']:,} steps, {duration(result['seconds'])}; picture {result['picture']}")


def _print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns, of which the first two are words."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        pairs = zip(row, widths, strict=True)
        cells = (x.ljust(n) if k < 2 else x.rjust(n) for k, (x, n) in enumerate(pairs))
        print(" ".join(cells).rstrip())
