"""The border between Python environments, whose numbers may have any width, and the compiled
program that acts in them, whose numbers have 32 bits."""

from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import PyTree

from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.policies.encodings import Encoding, encoding_of, narrowed, starting_at


@dataclass(frozen=True)
class AsSeen:
    """Python environments as a policy sees them.

    As with `HostEnvironment`, the next step may write into the observation: copy what you keep.
    """

    env: HostEnvironment
    encoding: Encoding

    @property
    def num_envs(self) -> int:
        return self.env.num_envs

    @property
    def max_episode_steps(self) -> int | None:
        return self.env.max_episode_steps

    def close(self) -> None:
        """Stop the environments."""
        self.env.close()

    def reset(self) -> PyTree[np.ndarray]:
        """First observations."""
        return narrowed(self.encoding, self.env.reset())

    def step(
        self, action: PyTree[np.ndarray]
    ) -> tuple[PyTree[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Observation, reward, terminated, truncated."""
        observation, reward, terminated, truncated = self.env.step(action)
        return narrowed(self.encoding, observation), reward, terminated, truncated


def encoding_of_env(env: HostEnvironment, categories: int | None = None) -> Encoding:
    """How to encode what the environments return, with offsets where their first observation is far
    from 0; `categories` as for `encoding_of`."""
    encoding = encoding_of(env.observation_space, categories)  # first, for it may be refused
    return starting_at(encoding, jax.tree.map(lambda x: np.asarray(x[0]), env.peek()))
