"""What programs compute, kept between processes beside JAX's compile cache.

Tracing and lowering a function takes Python as long as loading its compiled program takes. What
comes of them, StableHLO, is data that `jax.export` reads, and the compiled program is the same, bit
for bit. It is kept under a key of everything that it depends on; what has no name that another
process would know (a custom part, a lambda) is traced anew each time. A file that is missing or
damaged is written again.
"""

import dataclasses
import hashlib
import inspect
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import CodeType, ModuleType
from typing import Any

import jax
import numpy as np
from jax.export import Exported, deserialize, export

from uphill.installed import version
from uphill.training.rows import PackedRows
from uphill.trajectory import Trajectory, is_key

_KEPT_HERE = 12
"""Traces that a process remembers: those of its last six trainings."""
_VERSIONS = ("jax", "jaxlib", "equinox", "optax", "numpy")
_IN_PROGRAMS = (
    *("trajectory", "batch", "devices", "parts", "policies", "learning", "collecting", "training"),
    *("theory", "envs.base", "envs.compiled", "envs.worlds"),
)
"""The rooms and files whose code may be in a program."""
_LIBRARIES = ("equinox", "optax", "jax", "numpy")
"""Whose classes and functions are known by their names."""
_BUILT_HERE: dict[str, type] = {"rows": PackedRows, "trajectory": Trajectory}
"""Classes of what programs return and are not given."""


class Unknown(Exception):
    """Something whose meaning another process could not know."""


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A traced function, of all its arguments' leaves."""

    exported: Exported
    out_tree: Any

    @property
    def out_info(self) -> Any:
        """The shapes of what it returns."""
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in self.exported.out_avals]
        return jax.tree.unflatten(self.out_tree, shapes)

    def on_trees(self, program: Callable[..., Any]) -> Callable[..., Any]:
        """The compiled program of its leaves, as the function that was traced."""

        def call(*arguments: Any) -> Any:
            return jax.tree.unflatten(self.out_tree, program(*jax.tree.leaves(arguments)))

        return call


def traced(make: Callable[..., Any], about: tuple[Any, ...], arguments: tuple) -> Trace | None:
    """The trace of `make(*about)` for such arguments: remembered, kept, or made and kept; None if
    it can't be kept."""
    folder = _folder()
    if folder is None:
        return None
    try:
        key = _key(make, about, arguments)
    except Unknown:
        return None
    trace = _here.get(key)
    if trace is None:
        path = folder / f"uphill-trace-{key}"
        trace = _read(path, arguments) or _made(make(*about), arguments, path)
        if trace is not None:
            _here[key] = trace  # other threads do so, too
            if len(_here) > _KEPT_HERE:
                _here.popitem(last=False)
    return trace


_here: OrderedDict[str, Trace] = OrderedDict()


def forget() -> None:
    """Remember no trace."""
    _here.clear()


def _folder() -> Path | None:
    """Where they are kept; None where nothing is. Several devices would be part of a program, and
    on accelerators, compiling takes most of the time."""
    place = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if place is None or jax.default_backend() != "cpu" or len(jax.devices()) > 1:
        return None
    return Path(place) if Path(place).is_dir() else None


def _made(function: Callable[..., Any], arguments: tuple, path: Path) -> Trace | None:
    """The trace of a function, which is kept if it may be."""
    leaves, tree = jax.tree.flatten(arguments)
    trees = []

    def of_leaves(*leaves: Any) -> list[Any]:
        found, out_tree = jax.tree.flatten(function(*jax.tree.unflatten(tree, leaves)))
        trees.append(out_tree)
        return found

    try:
        exported = export(jax.jit(of_leaves))(*leaves)
        trace = Trace(exported, trees[-1])
        head = json.dumps(_outlined(trace.out_info, arguments)).encode()
        content = head + b"\n" + bytes(exported.serialize())
    except (ValueError, NotImplementedError, Unknown):  # JAX can't store all that it can run
        return None
    _write(path, hashlib.sha256(content).digest() + content)
    return trace


def _write(path: Path, content: bytes) -> None:
    """All of it or nothing: another process may write the same."""
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:  # no space, say: it will be traced again
        return


def _read(path: Path, arguments: tuple) -> Trace | None:
    """A trace that was kept."""
    try:
        file = path.read_bytes()
    except OSError:
        return None
    checksum, content = file[:32], file[32:]
    if hashlib.sha256(content).digest() != checksum:
        return None
    head, _, stored = content.partition(b"\n")
    with_leaves = _rebuilt(json.loads(head), arguments)
    return Trace(deserialize(bytearray(stored)), jax.tree.structure(with_leaves))


# --- the key -------------------------------------------------------------------------------------


def _key(make: Callable[..., Any], about: tuple[Any, ...], arguments: tuple) -> str:
    """Raises:
    Unknown: if there is something that another process could not know.
    """
    leaves: list[Any] = []
    described = [_named(make), _described(about, None), _described(arguments, leaves)]
    found = jax.tree.leaves(arguments)
    if len(found) != len(leaves) or any(a is not b for a, b in zip(found, leaves, strict=True)):
        raise Unknown  # what JAX takes for fixed, and what is described as fixed, differ
    text = json.dumps([*described, _settings(), _code()])
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _settings() -> list[Any]:
    """What else decides what JAX traces."""
    apart = ("cache", "log", "dump", "num_cpu_devices")
    names = [x for x in jax.config.values if not any(word in x for word in apart)]
    device = jax.devices()[0]
    values = {name: repr(getattr(jax.config, name, None)) for name in sorted(names)}
    return [{x: version(x) for x in _VERSIONS}, values, device.platform, device.device_kind]


def _described(x: Any, leaves: list[Any] | None) -> Any:
    """A value, by itself; or, where there are `leaves`, its numbers by their types alone: they are
    added to these in the order in which JAX has them."""
    if x is None or isinstance(x, str):
        return x
    if isinstance(x, bool | int | float | complex | np.generic | np.ndarray | jax.Array):
        return _number(x) if leaves is None else _type(x, leaves)
    if isinstance(x, jax.ShapeDtypeStruct) and leaves is not None:
        return _type(x, leaves)
    if isinstance(x, dict):
        return {"keys": [[_described(k, None), _described(x[k], leaves)] for k in sorted(x)]}
    if isinstance(x, tuple | list):
        kind = _named(type(x)) if hasattr(x, "_fields") else type(x).__name__
        return [kind, *(_described(one, leaves) for one in x)]
    if isinstance(x, np.dtype):
        return ["dtype", str(x)]
    if callable(x) and hasattr(x, "__qualname__"):
        return _named(x)
    if not dataclasses.is_dataclass(x):
        raise Unknown
    described: list[Any] = [_named(type(x))]
    for field in dataclasses.fields(x):
        is_fixed = leaves is None or field.metadata.get("static", False)
        described.append(
            [field.name, _described(getattr(x, field.name), None if is_fixed else leaves)]
        )
    return described


def _number(x: Any) -> Any:
    if is_key(x):
        raise Unknown
    array = np.asarray(x)
    return [type(x).__name__, str(array.dtype), array.shape, array.tobytes().hex()]


def _type(x: Any, leaves: list[Any]) -> Any:
    leaves.append(x)
    aval = jax.typeof(x) if not isinstance(x, jax.ShapeDtypeStruct) else x
    return [str(aval.dtype), aval.shape, bool(getattr(aval, "weak_type", False))]


def _named(x: Any) -> str:
    """What is found again by its module and name."""
    module, name = getattr(x, "__module__", None), getattr(x, "__qualname__", None)
    if module is None or name is None or not _is_known(module):
        raise Unknown
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not x:
        raise Unknown
    return f"{module}:{name}"


def _is_known(module: str) -> bool:
    """Whether what it is stays the same while the key does."""
    return module.partition(".")[0] in _LIBRARIES or _is_of_programs(module)


def _code() -> list[str]:
    """The modules that may be part of a program, as they are loaded: their files, and whether
    something in them was replaced."""
    digest, names = hashlib.sha256(), []
    for name, module in sorted(sys.modules.items()):
        if _is_of_programs(name) and isinstance(file := getattr(module, "__file__", None), str):
            try:
                at = os.stat(file)
                digest.update(_source(file, at.st_mtime_ns, at.st_size))
            except OSError as error:
                raise Unknown from error
            digest.update("\n".join(sorted(_contents(module))).encode())
            names.append(name)
    return [digest.hexdigest(), *names]


def _is_of_programs(module: str) -> bool:
    within = module.removeprefix("uphill.")
    return within != module and any(f"{within}.".startswith(f"{x}.") for x in _IN_PROGRAMS)


@lru_cache(maxsize=512)
def _source(file: str, _: int, __: int) -> bytes:
    return hashlib.sha256(Path(file).read_bytes()).digest()


def _contents(module: ModuleType) -> Iterator[str]:
    """What a module's names stand for, as far as its file doesn't say it."""
    for name, x in _own(module):
        yield f"{name} {_told(x)}"
        if inspect.isclass(x) and x.__module__ == module.__name__:
            yield from (f"{name}.{inner} {_told(x)}" for inner, x in _own(x))


def _own(x: Any) -> Iterator[tuple[str, Any]]:
    """Attributes, but for those that Python adds on its own, when they are first asked for."""
    for name, value in list(vars(x).items()):
        is_pythons = name.startswith("__") and not inspect.isfunction(value)
        if not is_pythons and not inspect.ismodule(value):
            yield name, value


def _told(x: Any) -> str:
    """Where a function is written, what a constant is, which class something has."""
    if isinstance(x, bool | int | float | str):
        return repr(x)
    x = inspect.unwrap(getattr(x, "__func__", None) or getattr(x, "fget", None) or x)
    code = getattr(x, "__code__", None)
    if isinstance(code, CodeType):
        return f"{code.co_filename}:{code.co_firstlineno}"
    named = x if hasattr(x, "__qualname__") else type(x)
    return f"{getattr(named, '__module__', '')}:{named.__qualname__}"


# --- the structure of what is returned -----------------------------------------------------------


def _outlined(x: Any, arguments: tuple) -> Any:
    """The structure of what a function returns, in JSON; what has that of one of its arguments is
    told by the number of that one.

    Raises:
        Unknown: if it holds anything else.
    """
    if isinstance(x, jax.ShapeDtypeStruct):
        return "number"
    if x is None:
        return None
    structure = jax.tree.structure(x)
    for k, argument in enumerate(arguments):
        if jax.tree.structure(argument) == structure:
            return {"argument": k}
    if type(x) in (tuple, list):
        return {type(x).__name__: [_outlined(one, arguments) for one in x]}
    if type(x) is dict and all(isinstance(k, str) for k in x):
        return {"dict": {k: _outlined(one, arguments) for k, one in x.items()}}
    for name, kind in _BUILT_HERE.items():
        if type(x) is kind:
            fields = ((f.name, f.metadata.get("static")) for f in dataclasses.fields(kind))
            return {
                name: {
                    field: getattr(x, field) if fixed else _outlined(getattr(x, field), arguments)
                    for field, fixed in fields
                }
            }
    raise Unknown


def _rebuilt(outline: Any, arguments: tuple) -> Any:
    """Something of such a structure."""
    if outline == "number":
        return 0
    if outline is None:
        return None
    ((kind, content),) = outline.items()
    if kind == "argument":
        return arguments[content]
    if kind in ("tuple", "list"):
        found: Iterable[Any] = [_rebuilt(one, arguments) for one in content]
        return tuple(found) if kind == "tuple" else found
    if kind == "dict":
        return {k: _rebuilt(one, arguments) for k, one in content.items()}
    built = object.__new__(_BUILT_HERE[kind])
    for field in dataclasses.fields(_BUILT_HERE[kind]):
        is_fixed, value = field.metadata.get("static"), content[field.name]
        value = _as_tuples(value) if is_fixed else _rebuilt(value, arguments)
        object.__setattr__(built, field.name, value)
    return built


def _as_tuples(x: Any) -> Any:
    """JSON knows lists alone."""
    return tuple(map(_as_tuples, x)) if isinstance(x, list) else x
