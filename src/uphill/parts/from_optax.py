"""Any optimiser of Optax, by its name or as it is."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from uphill.parts.checks import NORMS, RATES, require
from uphill.parts.optimizers import GradientOptimizer, check_optimizer, clipped
from uphill.parts.schedule import Schedule, is_number
from uphill.trajectory import Scalar


@jax.tree_util.register_pytree_with_keys_class
class OptaxArguments(dict):
    """Arguments of an Optax optimiser. Floats are traced, as those of a part are. Integers are
    static: they are sizes and counts on which Optax's code branches."""

    def tree_flatten_with_keys(self) -> tuple[list, tuple]:
        static = tuple((name, x) for name, x in self.items() if type(x) is int)
        traced = [name for name in self if name not in dict(static)]
        keyed = [(jax.tree_util.DictKey(name), self[name]) for name in traced]
        return keyed, (tuple(self), tuple(traced), static)

    @classmethod
    def tree_unflatten(cls, known: tuple, numbers: Iterable[Any]) -> "OptaxArguments":
        names, traced, static = known
        found = dict(static) | dict(zip(traced, numbers, strict=True))
        return cls({name: found[name] for name in names})


def _by_layers(self: Any, model: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Layer by layer: some of Optax scale the step by each layer's norm."""
    return model, lambda x: x


def _fault(transform: Callable[[], optax.GradientTransformation]) -> Exception | None:
    """Why it can't do with gradients and parameters alone, if so."""

    def step(x: jax.Array) -> Any:
        made = transform()
        return made.update(x, made.init(x), x)[0]

    try:
        jax.eval_shape(step, jax.ShapeDtypeStruct((2,), jnp.float32))
    except Exception as error:
        return error
    return None


class Optax(GradientOptimizer):
    """Any Optax optimiser that has a learning rate, by name, after clipping the gradient's norm.

    >>> Optax("lion", learning_rate="cosine:1e-4:0", settings={"b2": 0.98}).name
    'lion'
    """

    name: str = eqx.field(static=True, default="adamw")
    """Its name in Optax: adamw, lion, nadam, adabelief, yogi, …"""
    learning_rate: Schedule = eqx.field(
        converter=Schedule.of("learning_rate"),
        default=3e-4,
        metadata=RATES,
    )
    """Step size."""
    max_grad_norm: Scalar | None = eqx.field(default=0.5, metadata=NORMS)
    """The gradient is scaled down to this norm if it is longer; None for never."""
    settings: dict[str, int | float] = eqx.field(converter=OptaxArguments, default_factory=dict)
    """Its other numeric arguments."""

    def __check_init__(self) -> None:
        check_optimizer(self.learning_rate, self.max_grad_norm)
        is_name = isinstance(self.name, str) and self.name.isidentifier()
        make = getattr(optax, self.name, None) if is_name else None
        known = list(inspect.signature(make).parameters) if inspect.isfunction(make) else []
        require(
            "learning_rate" in known,
            "name",
            repr(self.name),
            "Optax has no optimiser with a learning rate of that name; use one such as adamw, "
            "lion, nadam or adabelief",
        )
        unknown = sorted(set(self.settings) - set(known) | {"learning_rate"} & set(self.settings))
        are_numbers = all(map(is_number, self.settings.values()))
        require(are_numbers, "settings", self.settings, "give each name a number")
        others = ", ".join(name for name in known if name != "learning_rate")
        require(not unknown, "settings", ", ".join(unknown), f"optax.{self.name} has {others}")
        require(_fault(self.transform) is None, "name", repr(self.name), _NEEDS_MORE)

    def transform(self) -> optax.GradientTransformation:
        step = getattr(optax, self.name)(self.learning_rate.value, **self.settings)
        return clipped(step, self.max_grad_norm)

    flattened = _by_layers


_NEEDS_MORE = (
    "with these settings it asks for more than gradients (a line search, perhaps); use another, "
    "or fix the settings"
)


class Transformation(GradientOptimizer):
    """Any Optax transformation, or a custom one, used as it is: `optimizer=optax.adam(1e-3)`.

    Its numbers are part of the compiled program. A run directory can't hold it, so it must be given
    again to load the run.
    """

    transformation: optax.GradientTransformation = eqx.field(static=True)

    def __check_init__(self) -> None:
        error = _fault(self.transform)
        if error is not None:
            # Any other failure may be specific to this array, and not occur for a network.
            asks_more = isinstance(error, TypeError) and "keyword-only" in str(error)
            require(not asks_more, "optimizer", "a transformation", f"{_NEEDS_MORE} ({error})")

    def transform(self) -> optax.GradientTransformation:
        return self.transformation

    flattened = _by_layers


def as_optimizer(optimizer: Any) -> Any:
    """An Optax transformation as a part; anything else unchanged."""
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    if isinstance(optimizer, optax.GradientTransformation):
        return Transformation(optimizer)
    return optimizer
