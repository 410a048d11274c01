"""Gymnasium's own checker, in plain words."""

import re
import warnings

import gymnasium
from gymnasium.utils.env_checker import check_env

from uphill.doctor.facts import CheckerMessage
from uphill.doctor.watch import TookTooLong, Watch

_OF_NO_CONSEQUENCE = (
    "minimum value is -infinity",
    "maximum value is infinity",
    "recommend using a symmetric and normalized space",  # policies scale their actions
    "not in the recommended",  # shapes of images
    "different from the unwrapped version",
    "render",
)


def ask_checker(env: gymnasium.Env, watch: Watch) -> tuple[CheckerMessage, ...]:
    """What `gymnasium.utils.env_checker.check_env` says that matters to training."""
    before, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.WARN
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            watch.call(check_env, env.unwrapped, skip_render_check=True, skip_close_check=True)
        except TookTooLong:
            error = f"it was not through after {watch.seconds:g} s"
        except (Exception, SystemExit) as raised:
            error = _plain(raised) or type(raised).__name__
        finally:
            gymnasium.logger.min_level = before
    texts = dict.fromkeys(_plain(x.message) for x in caught if issubclass(x.category, UserWarning))
    messages = [CheckerMessage(text, False) for text in texts if _matters(text)]
    return (*messages, *([CheckerMessage(error, True)] if error else []))


def _matters(text: str) -> bool:
    return not any(part in text for part in _OF_NO_CONSEQUENCE)


def _plain(message: Warning | str | BaseException) -> str:
    """A message without the colours of a terminal, on one line."""
    text = re.sub(r"\x1b\[\d+m", "", str(message)).removeprefix("WARN: ")
    return " ".join(text.split())
