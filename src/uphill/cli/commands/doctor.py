"""`uphill doctor`."""

from dataclasses import dataclass

from uphill.cli.environment import EnvironmentOptions
from uphill.cli.output import stdout_for
from uphill.cli.parsing import JsonOption, parse, take_env_kwargs
from uphill.runs.studies import DoctorSettings


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(EnvironmentOptions, DoctorSettings, JsonOption):
    """Examine an environment that an agent does not learn in: play it at random and with constant
    actions, play episodes again, train briefly; then say what is wrong, and how to fix it."""


def command(argv: list[str]) -> None:
    """Examine an environment, and say what is wrong and how to fix it."""
    argv, env_kwargs = take_env_kwargs(argv)
    options = parse(DoctorOptions, argv, "uphill doctor")
    from uphill.doctor.examine import examine

    given = vars(options)
    is_json = given.pop("json")
    with stdout_for(is_json) as show:
        examination = examine(**given, env_kwargs=env_kwargs)
        if is_json:
            show(examination.result())
        else:
            print(examination)
