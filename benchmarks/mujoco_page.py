"""Writes docs/mujoco.md from the results of `benchmarks.mujoco`."""

from collections.abc import Iterable
from typing import Any

from benchmarks.markdown import table
from uphill.words import listed

# The results of Tianshou's ten seeds, for the algorithms in this order.
ORDER = ("reinforce", "a2c", "ppo", "npg", "trpo")
TIANSHOU = {
    "HalfCheetah-v5": ("506 ± 212", "1,838 ± 1,068", "5,689 ± 1,297", "3,428 ± 699", "4,426 ± 735"),
    "Hopper-v5": ("384", "1,186", "2,398 ± 742", "1,890", "1,954"),
    "Walker2d-v5": ("355", "1,106", "3,473 ± 918", "2,403", "3,678"),
    "Ant-v5": ("169", "3,450 ± 415", "3,185 ± 990", "2,293", "2,746"),
    "Humanoid-v5": ("383", "1,608", "753", "748", "801"),
}
NAMES = {"ppo": "PPO", "trpo": "TRPO", "npg": "NPG", "a2c": "A2C", "reinforce": "REINFORCE"}

HEAD = """\
# MuJoCo, v5

Nine Gymnasium tasks and five algorithms. Each algorithm has one setting, the same for all tasks:
close to Tianshou's, and not tuned per task. Only PPO has others in four tasks, γ is 0.9999 on
Swimmer, and A2C has its defaults. Seeds are 0 to 9 (0 to 4 for
Ant and Humanoid, whose steps take several times as long). The command is
`uphill train ENV --algo ALGO --seeds 10` (5 for these two). Each row is the final policy after the
number of steps given, over 100 episodes per seed.

`make mujoco` measures the missing rows, PPO's first, and writes this page and
`benchmarks/mujoco.json`. It may be stopped at any time, and then continues where it was; after a
preset changes, it measures that preset's rows again. `python -m benchmarks.mujoco Hopper-v5/trpo`
measures one row.

`sampled` draws actions, `deterministic` takes the most probable one; `mean` is over seeds, `IQM` is
the interquartile mean over seeds with its 95 % bootstrap interval, `worst` is the worst seed.
`minutes` is the time for all seeds together, including compilation, on the number of cores in
brackets, which were shared with other work. Steps of NPG and TRPO go by max-kl, up to which the
policy may move by the quadratic estimate of the KL divergence, and are no longer than 20 times the
natural gradient; Tianshou's NPG takes a fixed step along it.

`Tianshou` is the mean of its ten seeds at 1 M steps for every algorithm, not the best during
training, with sampled actions, and with the standard deviation over seeds where it is known
([Weng et al., 2022](https://jmlr.org/papers/v23/21-1127.html)). Its tasks are v3, whose rewards
differ: slightly for most, but much for Ant, whose v5 also observes contact forces, 105 numbers in
all.
"""

NOTES = {
    "ppo": """\
With the settings of the other tasks, PPO reached −4.5 on Reacher-v5, and on the pendulums seeds
lost what they had learned: 571 and 2,981 over the seeds 0 to 9, the worst 2.0 and 214. With the
defaults, whose learning rate decays to 0 and whose advantages are scaled, they keep it. On
InvertedDoublePendulum-v5, seeds 1000 to 1003, the defaults reach 5,792, 4,898, 6,583 and 4,296;
with a λ of 0.8 8,157, 3,362, 5,091 and 9,163, and with a γ of 0.98 as well 6,109, 8,073, 7,682
and 5,851. From there, a learning rate of 0.001 leaves 4,217, 2,581, 6,947 and 8,246. On these
seeds of Walker2d-v5, the defaults come to 2,610, 1,351, 3,259 and 4,375, and the settings of the
other tasks, with a learning rate that decays to 0 and scaled advantages, to 1,332, 3,163, 2,727
and 4,064. TRPO gains nothing on the double pendulum from this γ and λ: 4,074, 5,891, 5,585 and
5,919.

The settings on Swimmer-v5, long windows and a γ of 0.9999, come to 305, 312, 320 and 322 with the
seeds 1000 to 1003. Windows alone are not what the others lack there: with the same windows, γ and
λ, TRPO comes to 77, 164, 153 and 112. A2C with its defaults and this γ comes to 28, 22, 19 and 20.
""",
    "a2c": """\
Tianshou's settings (16 × 5 steps, RMSProp with a learning rate that decays from 7e-4, an entropy
bonus of 0.01) reach 111, 20 and −47 on HalfCheetah-v5 after 1 M steps (seeds 1000 to 1002,
sampled): rewards are normalised here, and relative to them that bonus is large; in Tianshou,
advantages are not scaled. Without the bonus they reach 1,234, 1,476 and 1,543, and the
defaults 1,297, 3,681 and 1,367; with windows of 5 steps the defaults reach 1,405, 4,834 and 3,466.
On Hopper-v5 the defaults reach 422, 998 and 1,194, with 5 steps 425, 978 and 997.
""",
    "trpo": """\
Without these settings, with its defaults, it reaches 3,285, 4,504 and 3,131 on HalfCheetah-v5
(seeds 1000 to 1002, sampled).

A max-kl of 0.04, as rl-zoo3 has it for HalfCheetah, pays there, but not everywhere: over the seeds
0 to 9, HalfCheetah-v5 comes to 4,445 (IQM 4,654 [3,507, 5,419], worst 1,807), Walker2d-v5 to 3,126
(3,220 [2,414, 3,849], worst 1,652), and Hopper-v5 to 2,023 (2,205 [1,448, 2,573], worst 313). On
HalfCheetah-v5, seeds 1000 to 1003, 0.02 reached 3,805, 1,635, 5,860 and 2,921, and 0.04 reached
4,303, 4,342, 5,578 and 6,195. So the preset has 0.01, as Tianshou does.

Without the limit on the step size (and with advantages standardised), TRPO reached 674 on
InvertedPendulum-v5 over the seeds 0 to 9, the worst seed 4.6, and NPG 512, the worst seed 3.0:
seeds had 1,000 from 57,000 steps on and lost it after 240,000. While all episodes have the same
return, advantages are noise. Steps of the length max-kl follow this noise, σ shrinks, and then
steps of that length are too short to recover. On the seeds 1000 to 1002, a max-kl that decays
(linear:0.01:0.0005) left 536, 6.5 and 2.0; steps of at most 1 and 0.1 times the natural gradient
kept 1,000, 995, 1,000 and 998, 1,000, 994. The limit
must leave room to leave a plateau, though. On Hopper-v5 max-kl alone takes steps of 6 to 20. With
a limit of 2, NPG reached 1,355 there over the seeds 0 to 9, and 458, 745 and 437 on the seeds 6 to
8, where 5 reached 1,780, 2,479 and 2,437; but with 5, one of three seeds of TRPO stayed at 430 for
800,000 steps. On InvertedPendulum-v5 max-kl takes steps of 40 to 800 once all returns are equal,
and 20 kept 1,000 on the seeds 1000 to 1002, by TRPO and by NPG. So the preset has 20, the same for
all tasks. On HalfCheetah-v5 without a limit, TRPO reached 4,154 and NPG 4,328 on the same seeds;
with a limit of 2, TRPO reached 3,812.
""",
}


def page(rows: list[Any], results: dict[str, dict[str, Any]]) -> str:
    """The whole page: for each algorithm its settings and a table."""
    algos = list(dict.fromkeys(row.algo for row in rows))
    parts = [HEAD]
    for algo in algos:
        own = [row for row in rows if row.algo == algo]
        parts += [f"## {NAMES[algo]}\n", *_settings(own), *_note(algo), _table(own, results)]
    missing = [row.name for row in rows if row.name not in results]
    if missing:
        parts.append(
            "Rows with dashes are not measured yet: `make mujoco` measures all of them, "
            "`python -m benchmarks.mujoco TASK/ALGO` one.\n"
        )
    return "\n".join(parts)


def _note(algo: str) -> Iterable[str]:
    """What else was tried."""
    if algo in NOTES:
        yield NOTES[algo]


def _settings(rows: list[Any]) -> Iterable[str]:
    """What the presets change in the algorithm, once for all tasks that share it."""
    by_text: dict[str, list[str]] = {}
    for row in rows:
        by_text.setdefault(row.settings, []).append(row.env)
    shared = max(by_text, key=lambda text: len(by_text[text]))
    called = f"`uphill.{rows[0].algo}()`"
    yield f"{called} with\n\n    {_folded(shared)}\n" if shared else f"{called} unchanged.\n"
    for text, envs in by_text.items():
        if text != shared:
            where = f"On {listed(envs)} it is {called}"
            yield f"{where} with\n\n    {_folded(text)}\n" if text else f"{where} unchanged.\n"


def _folded(text: str) -> str:
    """Flags, a few on each line."""
    lines = [""]
    for flag in text.split(" --"):
        flag = flag if flag.startswith("--") else f"--{flag}"
        if len(lines[-1]) + len(flag) > 90:
            lines.append("")
        lines[-1] = f"{lines[-1]} {flag}".strip()
    return "\n    ".join(lines)


def _table(rows: list[Any], results: dict[str, dict[str, Any]]) -> str:
    head = (
        *("task", "steps", "seeds", "sampled: mean", "IQM", "worst", "deterministic: IQM"),
        *("worst", "Tianshou", "minutes (cores)"),
    )
    return table(head, (_cells(row, results.get(row.name)) for row in rows))


def _cells(row: Any, result: dict[str, Any] | None) -> tuple[str, ...]:
    published = TIANSHOU.get(row.env, ("–",) * 5)[ORDER.index(row.algo)]
    steps = f"{row.preset.steps / 1e6:g} M"
    if result is None:
        return (row.env, steps, str(row.seeds), *["–"] * 5, published, "–")
    sampled, best = result["stochastic"], result["deterministic"]
    note = "" if row.is_in({row.name: result}) else " (earlier settings)"
    return (
        row.env + note,
        f"{result['steps'] / 1e6:g} M",
        str(result["seeds"]),
        f"**{_number(sampled['mean'])}**",
        _with_interval(sampled),
        _number(min(sampled["per_seed"])),
        _with_interval(best),
        _number(min(best["per_seed"])),
        published,
        f"{result['seconds'] / 60:.0f} ({result['cores']})",
    )


def _with_interval(numbers: dict[str, Any]) -> str:
    low, high = numbers["ci95"]
    return f"{_number(numbers['iqm'])} [{_number(low)}, {_number(high)}]"


def _number(x: float) -> str:
    text = f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}"
    return text.replace("-", "−")
