"""The code that one has to read to understand PPO end to end in a compiled world.

`python -m benchmarks understand [CHECKOUT …]` trains PPO on CartPole-v1 briefly in each checkout
(by default this one), and counts the code of the package that runs: files, their lines, and the
lines of the functions that ran. A world and an update run while they are traced.
"""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
from typing import Any

HERE = Path(__file__).parents[1]


def understand(*checkouts: str) -> None:
    """The code to read to understand PPO: files, their lines, lines of functions that ran."""
    for checkout in checkouts or (str(HERE),):
        # In a separate process: another checkout is another package of the same name.
        variables = {"PYTHONPATH": str(Path(checkout).resolve() / "src"), "JAX_PLATFORMS": "cpu"}
        with TemporaryDirectory() as empty:  # what another process has traced would not run here
            variables["XDG_CACHE_HOME"] = empty
            subprocess.run([sys.executable, __file__], env=os.environ | variables, check=True)


class Watch:
    """Records the functions of a package that are called inside its `with` block."""

    def __init__(self, package: Path) -> None:
        self.package, self.codes = str(package) + os.sep, set[CodeType]()

    def __enter__(self) -> "Watch":
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # The bodies of modules and classes are not functions.
        is_function = code.co_flags & inspect.CO_OPTIMIZED
        if event == "call" and is_function and code.co_filename.startswith(self.package):
            self.codes.add(code)


def lines_by_file(codes: Iterable[CodeType]) -> dict[Path, set[int]]:
    """The lines of functions, from their first to their last, by file."""
    found: dict[Path, set[int]] = {}
    for code in codes:
        lines = range(code.co_firstlineno, last_line(code) + 1)
        found.setdefault(Path(code.co_filename), set()).update(lines)
    return found


def last_line(code: CodeType) -> int:
    own = [line for _, _, line in code.co_lines() if line is not None]
    return max([*own, *(last_line(x) for x in code.co_consts if isinstance(x, CodeType))])


def tell(title: str, package: Path, codes: Iterable[CodeType], with_files: bool = False) -> None:
    found = lines_by_file(codes)
    sizes = {path: len(path.read_text().splitlines()) for path in found}
    ran = {path: len(lines) for path, lines in found.items()}
    print(
        f"{title}: {len(found)} files of {sum(sizes.values()):,} lines; "
        f"the functions that ran have {sum(ran.values()):,}"
    )
    for path in sorted(found) if with_files else ():
        print(f"  {ran[path]:5} of {sizes[path]:5}  {path.relative_to(package)}")


def plain_ppo() -> Any:
    """PPO as in CleanRL's first script: the same steps in every checkout, whatever its defaults."""
    import uphill

    usual: Any = uphill.ppo()
    fields: dict[str, Any] = {
        "sampling": type(usual.sampling)(8, 128),
        "optimizer": type(usual.optimizer)(learning_rate=3e-4),
        "num_epochs": 4,
        "num_minibatches": 4,
        "normalize_observations": False,
        "normalize_rewards": False,
    }
    return uphill.ppo(**fields)


def main() -> None:
    # Where these names are depends on the checkout.
    import uphill

    package = Path(uphill.__file__).parent
    if hasattr(uphill, "iterate"):
        iterate, trainer_of = uphill.iterate, uphill.Trainer
    else:
        from uphill.learning import Trainer as trainer_of  # pyright: ignore
        from uphill.learning import iterate  # pyright: ignore
    from uphill.envs.make import choose

    every = inspect.signature(trainer_of).parameters["measure_every"].default
    # Where diagnostics can't be switched off, their interval is longer than the training.
    no_diagnostics: dict[str, Any] = {} if every is None else {"measure_every": 10**6}

    with Watch(package) as construction:
        trainer = trainer_of(choose("CartPole-v1"), plain_ppo(), (0,), 2000, **no_diagnostics)
    with Watch(package) as start:
        state = trainer.start()
    with Watch(package) as training:
        for _ in iterate(trainer, state):
            pass
    print(package)
    tell("the loop, from an existing state", package, training.codes)
    tell("`iterate`, after construction", package, training.codes | start.codes, with_files=True)
    tell("with construction", package, training.codes | start.codes | construction.codes)


if __name__ == "__main__":
    main()
