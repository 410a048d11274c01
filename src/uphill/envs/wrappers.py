"""Wrappers around an environment, as texts and as functions: Gymnasium's `Name:arguments`, and
custom ones, `module:Name:arguments`."""

import ast
import difflib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gymnasium
from gymnasium import wrappers as theirs

from uphill.envs.backends.checks import described, own_traceback
from uphill.envs.importing import named
from uphill.errors import UphillError
from uphill.words import listed, option

_NOT_NEEDED = {
    "NormalizeObservation": "{normalize_observations} keeps its scales in the checkpoint, and a "
    "wrapper's are lost",
    "NormalizeReward": "{normalize_rewards} does that in training alone, and returns stay those "
    "of the environment",
    "ClipAction": "actions are within the bounds of the space already, which it would take away",
    "TimeLimit": "{max_episode_steps} sets one",
    "Autoreset": "episodes are begun anew already",
    "RecordEpisodeStatistics": "metrics.csv has the returns and lengths of episodes",
    "RecordVideo": "`uphill record` films a run",
    "PassiveEnvChecker": "what an environment returns is checked at every step",
    "OrderEnforcing": "nothing is stepped before it was reset",
}
"""Wrappers that Uphill makes unnecessary, and why; {a setting} is replaced by the caller's
spelling."""


@dataclass(frozen=True)
class Wrapping:
    """A wrapper: what experiment.json calls it, and what it does."""

    text: str
    wrap: Callable[[Any], Any] = field(compare=False)

    def around(self, env: gymnasium.Env) -> gymnasium.Env:
        """Raises:
        UphillError: if the environment can't be wrapped in it.
        """
        try:
            wrapped = self.wrap(env)
        except UphillError:
            raise
        except Exception as error:
            if module_of(self.text) is None:
                reason = f"{type(error).__name__}: {str(error) or 'it says no more'}".rstrip(".")
                raise UphillError(
                    f"can't be wrapped in {self.text} ({reason}): see what Gymnasium's wrapper "
                    "takes."
                ) from error
            raise UphillError(
                f"raised {type(error).__name__} when it was wrapped in {self.text}; its own error "
                f"follows.\n{own_traceback(error)}"
            ) from error
        if not isinstance(wrapped, gymnasium.Env):
            raise UphillError(
                f"was wrapped in {self.text}, which returned {described(wrapped)} instead of a "
                "gymnasium.Env: return one."
            )
        return wrapped


Wrapper = str | Callable[[gymnasium.Env], gymnasium.Env] | Wrapping
"""A text, or what takes an environment and returns one: a class, a function, a partial."""


def wrapping_of(wrapper: Any, field: str = "wrappers") -> Wrapping:
    """The requested wrapper, imported if it is `module:Name`.

    Raises:
        UphillError: if there is no such wrapper, or it is not needed.
    """
    if isinstance(wrapper, Wrapping):
        return wrapper
    if isinstance(wrapper, str):
        wrapping = Wrapping(wrapper, _function_of(wrapper, field))
    elif callable(wrapper):
        wrapping = Wrapping(text_of(wrapper), wrapper)
    else:
        raise UphillError(
            f"{field} has {described(wrapper)}: give the names of wrappers, or what takes an "
            "environment and returns one."
        )
    name = wrapping.text.partition(":")[0]
    if name in _NOT_NEEDED:
        names = ("normalize_observations", "normalize_rewards", "max_episode_steps")
        why = _NOT_NEEDED[name].format_map({setting: option(setting) for setting in names})
        raise UphillError(f"{field} has {name}, which is not needed here: {why}, so leave it out.")
    return wrapping


def wrappings_of(wrappers: Any) -> tuple[Wrapping, ...]:
    """All requested wrappers; a single one need not be in a list.

    Raises:
        UphillError: if one is none, or is not needed.
    """
    is_one = isinstance(wrappers, str) or not isinstance(wrappers, Iterable)
    given: tuple[Any, ...] = (wrappers,) if is_one else tuple(wrappers)
    return tuple(map(wrapping_of, given))


def text_of(wrapper: Callable[..., Any]) -> str:
    """The name of a wrapper in a file: as it is written on the command line, if possible. Otherwise
    only its kind, in angle brackets: the same in every process."""
    if isinstance(wrapper, partial):
        keywords = (f"{key}={_written(x)}" for key, x in wrapper.keywords.items())
        arguments = ",".join([*map(_written, wrapper.args), *keywords])
        return f"{text_of(wrapper.func)}:{arguments}" if arguments else text_of(wrapper.func)
    name = getattr(wrapper, "__qualname__", None)
    if name is None:
        return f"{wrapper.__module__}:<{type(wrapper).__qualname__}>"
    if _class_named(name) is wrapper:
        return name
    is_whole = "<" in name or _found(wrapper.__module__, name) == wrapper
    return f"{wrapper.__module__}:{name if is_whole else f'<{name}>'}"


def module_of(text: str) -> str | None:
    """The module to import for a wrapper; None for Gymnasium's."""
    module = text.partition(":")[0]
    return None if _class_named(module) else module


def imported_name(text: str) -> str | None:
    """The `module:Name` that is imported for a wrapper, without its arguments; None for
    Gymnasium's."""
    return None if module_of(text) is None else ":".join(text.split(":")[:2])


def same(one: str, other: str) -> bool:
    """Whether two texts name the same wrapper; its module may be `__main__` at one time."""
    rests = [text.partition(":")[2] if module_of(text) else text for text in (one, other)]
    return rests[0] == rests[1]


def is_importable(text: str) -> bool:
    """Whether the text says all that is needed to have the wrapper again."""
    return "<" not in text and not text.startswith("__main__:")


def _found(module: str, name: str) -> Any:
    """What a module that is imported has under that name."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _written(argument: Any) -> str:
    """An argument that can be read again; of another its kind, in angle brackets."""
    try:
        text = repr(argument)
        # Sets have another order in every process.
        if type(ast.literal_eval(text)) is type(argument) and not isinstance(argument, set):
            return text
    except Exception:  # a user's class may do anything
        pass
    name = getattr(argument, "__qualname__", None)
    if name is None:
        return f"<{type(argument).__qualname__}>"
    return f"<{'class' if isinstance(argument, type) else 'function'} {name}>"


def _class_named(name: str) -> type | None:
    """Gymnasium's wrapper of that name."""
    found = getattr(theirs, name, None) if name in theirs.__all__ else None
    return found if isinstance(found, type) else None


def _function_of(text: str, field: str) -> Callable[[gymnasium.Env], Any]:
    name, _, rest = text.partition(":")
    wrapper: Any = _class_named(name)
    if wrapper is None:
        if not rest:
            near = difflib.get_close_matches(name, theirs.__all__, n=1)
            hint = f"did you mean {listed(near, 'or')}?" if near else "see gymnasium.wrappers."
            raise UphillError(
                f"{field} has {text!r}, which is none of Gymnasium's (one of yours is "
                f"module:Name): {hint}"
            )
        path, _, rest = rest.partition(":")
        wrapper = named(f"{name}:{path}", field)
        if not callable(wrapper):
            raise UphillError(
                f"{field} has {text!r}, which is {described(wrapper)}: name what takes an "
                "environment and returns one."
            )
    arguments, keywords = _arguments(rest, text, field)
    return partial(_call, wrapper, arguments, keywords) if rest else wrapper


def _call(wrapper: Any, arguments: tuple, keywords: dict[str, Any], env: gymnasium.Env) -> Any:
    return wrapper(env, *arguments, **keywords)


def _arguments(text: str, whole: str, field: str) -> tuple[tuple, dict[str, Any]]:
    """Python's arguments in `text`, where a bare word is a text."""
    try:
        call = ast.parse(f"_({text})", mode="eval").body
        if not isinstance(call, ast.Call):  # such as "4),(3"
            raise ValueError("it closes the parenthesis around it")
        if not all(k.arg for k in call.keywords):
            raise ValueError("it has **")
        keywords = {str(k.arg): _value(k.value) for k in call.keywords}
        return tuple(map(_value, call.args)), keywords
    except (SyntaxError, ValueError) as error:
        raise UphillError(
            f"{field} has {whole!r}, whose arguments can't be read: write numbers, texts and "
            "tuples with commas between them, as in FrameStackObservation:4,padding_type=zero."
        ) from error


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)
