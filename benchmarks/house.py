"""The structure of a checkout, read from its source: packages, import cycles, long functions.

`python -m benchmarks house [CHECKOUT …]` prints a column for each checkout, by default this one.
The code that is measured is not imported.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parents[1]
PACKAGE = "uphill"
NO_PARTS = {"Algorithm"}  # it consists of parts
LONG_BODY, LONG_FILE, MANY_PARAMETERS = 40, 500, 8
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import(NamedTuple):
    """A module of the package that is imported, and whether inside a function."""

    target: str
    is_inside_function: bool


class Function(NamedTuple):
    """A function, its lines after the docstring, and how many parameters it has."""

    where: str
    body_lines: int
    parameters: int


@dataclass(frozen=True)
class Module:
    """One file."""

    name: str
    path: Path
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    @property
    def room(self) -> str:
        """The subpackage that it is in; for a top-level file, its own name."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else "__init__"


def house(*checkouts: str) -> None:
    """The structure of a checkout, read from its source: packages, cycles, long functions."""
    folders = [Path(checkout).resolve() for checkout in checkouts] or [HERE]
    columns = [figures(read(folder)) for folder in folders]
    print(table([folder.name for folder in folders], columns))


def read(checkout: Path) -> dict[str, Module]:
    """All modules of the package, by name."""
    source = checkout / "src"
    modules = {}
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = Module(name, path, path.read_text())
    return modules


def figures(modules: dict[str, Module]) -> dict[str, str]:
    """The column of a checkout."""
    lines = sum(module.lines for module in modules.values())
    rooms: dict[str, int] = {}
    for module in modules.values():
        rooms[module.room] = rooms.get(module.room, 0) + module.lines
    largest = max(rooms, key=lambda room: rooms[room])
    imports = {name: list(imports_of(module, modules)) for name, module in modules.items()}
    above = {
        name: {x.target for x in found if not x.is_inside_function}
        for name, found in imports.items()
    }
    anywhere = {name: {x.target for x in found} for name, found in imports.items()}
    inside = [(name, x) for name, found in imports.items() for x in found if x.is_inside_function]
    elsewhere = [x for name, x in inside if modules[name].room not in ("cli", "__init__")]
    functions = [f for module in modules.values() for f in functions_of(module)]
    classes = [c for module in modules.values() for c in classes_of(module)]
    asked = isinstance_on_parts(modules)
    return {
        "files": f"{len(modules)}",
        "lines": f"{lines:,}",
        f"files over {LONG_FILE} lines": f"{sum(m.lines > LONG_FILE for m in modules.values())}",
        "largest package": f"{largest}, {rooms[largest]:,} lines, {rooms[largest] / lines:.0%}",
        "import cycles at the top level": said(circles(above)),
        "import cycles, functions included": said(circles(anywhere)),
        "imports of the package in functions": f"{len(inside)}, {len(elsewhere)} outside cli",
        "isinstance on parts outside parts": f"{sum(asked.values())} in {len(asked)} files",
        "longest function body": told(max(functions, key=lambda f: f.body_lines)),
        f"function bodies over {LONG_BODY} lines": share(
            sum(f.body_lines > LONG_BODY for f in functions), len(functions)
        ),
        f"functions of over {MANY_PARAMETERS} parameters": str(
            sum(f.parameters > MANY_PARAMETERS for f in functions)
        ),
        "longest class": "{1} ({0})".format(*max(classes, key=lambda c: c[1])),
    }


# --- imports ------------------------------------------------------------------------------------


def imports_of(module: Module, modules: dict[str, Module]) -> Iterator[Import]:
    """The package's modules that it imports at run time, without those for type checking only."""
    for node, is_inside in nodes_of(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = module.package.split(".")[: 1 - node.level or None]
                base = ".".join([*above, *([node.module] if node.module else [])])
            submodules = [f"{base}.{alias.name}" for alias in node.names]
            found = [name for name in submodules if name in modules]
            names = found if len(found) == len(submodules) else [*found, base]
        else:
            continue
        for name in names:
            if name in modules and name != module.name:
                yield Import(name, is_inside)


def nodes_of(tree: ast.AST, is_inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it is inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node, is_inside
        yield from nodes_of(node, is_inside or isinstance(node, SCOPES))


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan, 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in order:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], order[target])
        if low[name] == order[name]:
            start = stack.index(name)
            component, stack[start:] = stack[start:], []
            if len(component) > 1:
                found.append(component)

    for name in graph:
        if name not in order:
            visit(name)
    return sorted(found, key=len, reverse=True)


# --- parts --------------------------------------------------------------------------------------


def isinstance_on_parts(modules: dict[str, Module]) -> dict[str, int]:
    """How often each module outside the parts' folder checks which part it was given."""
    at_home = [m for m in modules.values() if "parts" in m.name.split(".")]
    # A schedule is not a part: it is a value that a number of a part may have.
    kinds = [
        x for module in at_home if not module.name.endswith("schedule") for x in kinds_in(module)
    ]
    names = set(kinds) - NO_PARTS
    found = {}
    for module in modules.values():
        if module not in at_home:
            count = sum(asks_for(node, names) for node in ast.walk(module.tree))
            if count:
                found[module.name] = count
    return found


def kinds_in(module: Module) -> Iterator[str]:
    """The classes of a module, and its names for unions of them (`Kind = One | Other`)."""
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp):
            yield from (x.id for x in node.targets if isinstance(x, ast.Name) and x.id[0].isupper())


def asks_for(node: ast.AST, names: set[str]) -> bool:
    """Whether it is an `isinstance` with one of these classes, or a `case` of one."""
    if isinstance(node, ast.MatchClass):
        return bool(names & names_in(node.cls))
    is_test = isinstance(node, ast.Call) and names_in(node.func) == {"isinstance"}
    return isinstance(node, ast.Call) and is_test and bool(names & names_in(node.args[1]))


def names_in(node: ast.AST) -> set[str]:
    plain = {x.id for x in ast.walk(node) if isinstance(x, ast.Name)}
    return plain | {x.attr for x in ast.walk(node) if isinstance(x, ast.Attribute)}


# --- functions and classes ----------------------------------------------------------------------


def functions_of(module: Module) -> Iterator[Function]:
    for node in ast.walk(module.tree):
        if isinstance(node, FUNCTIONS):
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            is_method = bool(named) and named[0].arg in ("self", "cls")
            stars = [x for x in (arguments.vararg, arguments.kwarg) if x is not None]
            yield Function(
                f"{module.name}.{node.name}",
                body_lines(node),
                len(named) + len(stars) - is_method,
            )


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The number of lines from the first statement after the docstring to the last."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def classes_of(module: Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            yield f"{module.name}.{node.name}", (node.end_lineno or 0) - node.lineno + 1


# --- words --------------------------------------------------------------------------------------


def said(found: list[list[str]]) -> str:
    return f"{len(found)}, of {', '.join(str(len(c)) for c in found)} files" if found else "none"


def told(function: Function) -> str:
    return f"{function.body_lines} ({function.where.removeprefix(PACKAGE + '.')})"


def share(count: int, total: int) -> str:
    return f"{count} of {total:,}, {count / total:.1%}"


def table(titles: Iterable[str], columns: list[dict[str, str]]) -> str:
    """Figures side by side, in Markdown."""
    rows = [["", *titles], ["---"] * (len(columns) + 1)]
    rows += [[name, *(column[name] for column in columns)] for name in columns[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
