"""The shape of the package, for one checkout or several side by side.

    python benchmarks/house.py                        # this checkout
    python benchmarks/house.py ../before . --list     # two, and what was counted

A room is an entry of the root of `src/landshift`: a module or a package. An arrow is a room that
imports another, however often. Imports inside functions count; those under `TYPE_CHECKING` are
counted apart, since nothing is imported when the program runs. A circle is a set of rooms or
modules that reach each other by such imports. Floors are the rooms on the longest way down; beside
them the number that import-linter's contract states.

Of an option (`--option`, else `unconfirmed`) these places are counted as statements: parameters of
public functions, fields of classes, keyword arguments passed, dict keys, and entries in the
sections of docstrings. Where it is passed on by position, or is the parameter of a private
function, it is handed on, and counted apart. Comparisons and attributes that are read count as
neither. Only the standard library is used, and nothing of the package is imported.
"""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "landshift"
MOST = 10

Graph = dict[str, set[str]]


@dataclass
class House:
    """What was counted in a checkout."""

    root: Path
    entries: int = 0
    modules: int = 0
    lines: int = 0
    cli_lines: int = 0
    functions: list[tuple[int, int, str]] = field(default_factory=list)
    imports: Graph = field(default_factory=lambda: defaultdict(set))
    typing: Graph = field(default_factory=lambda: defaultdict(set))
    stated: list[str] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)
    floors_stated: int = 0

    @property
    def rooms(self) -> Graph:
        """Arrows between rooms."""
        return rooms_of(self.imports)

    @property
    def room_circles(self) -> list[list[str]]:
        return circles(self.rooms)

    @property
    def module_circles(self) -> list[list[str]]:
        return circles(self.imports)

    @property
    def typing_arrows(self) -> set[tuple[str, str]]:
        """Arrows between rooms that only type checkers follow."""
        return arrows(rooms_of(self.typing)) - arrows(self.rooms)


def survey(root: Path, option: str) -> House:
    """Count everything in a checkout."""
    folder = root / "src" / PACKAGE
    house = House(root)
    paths = sorted(folder.rglob("*.py"))
    if not paths:
        raise SystemExit(f"A checkout must hold src/{PACKAGE}, got {root}; name its root.")
    names = {name_of(path, folder): path for path in paths}
    house.entries = sum(
        entry.name not in ("__pycache__", "__init__.py", "__init__.pyi", "py.typed")
        for entry in folder.iterdir()
    )
    house.modules = len(paths)
    for name, path in names.items():
        text = path.read_text()
        lines = text.count("\n")
        house.lines += lines
        if name.split(".")[1:2] == ["cli"]:
            house.cli_lines += lines
        tree = ast.parse(text)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for target, typing in imported(tree, package, names.keys()):
            if target != name:
                (house.typing if typing else house.imports)[name].add(target)
        house.functions += functions(tree, name)
        stated, handed = mentions(tree, option, path.relative_to(folder).as_posix())
        house.stated += stated
        house.handed += handed
    house.floors_stated = stated_floors(root / "pyproject.toml")
    return house


def name_of(path: Path, folder: Path) -> str:
    """A module's dotted name."""
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join((PACKAGE, *parts)).removesuffix(".__init__")


def imported(tree: ast.Module, package: str, names: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Modules of the package that a module imports, and whether for type checkers alone."""

    def walk(node: ast.AST, typing: bool) -> Iterator[tuple[ast.stmt, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                yield child, typing
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for inner in child.body:
                    yield from walk(ast.Module([inner], []), True)
                for inner in child.orelse:
                    yield from walk(ast.Module([inner], []), typing)
            else:
                yield from walk(child, typing)

    for node, typing in walk(tree, False):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            if target.split(".")[0] != PACKAGE:
                continue
            while target not in names:  # a name inside a module: the module
                target = target.rpartition(".")[0]
            yield target, typing


def functions(tree: ast.Module, module: str) -> Iterator[tuple[int, int, str]]:
    """Lines (from `def`, without decorators), arguments and name of each function."""

    def walk(node: ast.AST, prefix: str) -> Iterator[tuple[int, int, str]]:
        for child in ast.iter_child_nodes(node):
            name = f"{prefix}.{child.name}" if hasattr(child, "name") else prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (child.end_lineno or child.lineno) - child.lineno + 1
                count = sum(p.arg not in ("self", "cls") for p in parameters(child))
                yield lines, count, name
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from walk(child, name if named else prefix)

    yield from walk(tree, module.removeprefix(f"{PACKAGE}."))


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """All of a function's parameters, ``*args`` and ``**kwargs`` included."""
    a = function.args
    rest = [p for p in (a.vararg, a.kwarg) if p is not None]
    return [*a.posonlyargs, *a.args, *a.kwonlyargs, *rest]


def mentions(tree: ast.Module, option: str, where: str) -> tuple[list[str], list[str]]:
    """Places that state an option, and places that only hand it on."""
    stated: list[str] = []
    handed: list[str] = []
    entry = re.compile(rf"^\s+{option}(?: \(.*\))?:\s", re.M)

    def place(node: ast.AST, kind: str) -> str:
        return f"{where}:{getattr(node, 'lineno', 0)} {kind}"

    def walk(node: ast.AST, private: bool) -> None:
        for child in ast.iter_child_nodes(node):
            below = private
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                below = private or (child.name.startswith("_") and child.name != "__init__")
                if entry.search(ast.get_docstring(child, clean=False) or ""):
                    stated.append(place(child, f"docstring of {child.name}"))
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                for parameter in parameters(child):
                    if parameter.arg == option:
                        text = place(parameter, f"parameter of {child.name}")
                        (handed if below else stated).append(text)
            elif isinstance(child, ast.ClassDef):
                for inner in child.body:
                    if isinstance(inner, ast.AnnAssign) and _is(inner.target, option):
                        stated.append(place(inner, f"field of {child.name}"))
            elif isinstance(child, ast.Call):
                stated.extend(
                    place(k.value, "keyword argument") for k in child.keywords if k.arg == option
                )
                handed.extend(place(a, "passed on") for a in child.args if _is(a, option))
            elif isinstance(child, ast.Dict):
                stated.extend(
                    place(k, "dict key")
                    for k in child.keys
                    if isinstance(k, ast.Constant) and k.value == option
                )
            walk(child, below)

    walk(tree, False)
    return stated, handed


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def rooms_of(imports: Graph) -> Graph:
    """Imports between modules as arrows between entries of the root."""
    graph: Graph = defaultdict(set)
    for source, targets in imports.items():
        for target in targets:
            pair = [name.split(".")[1] if "." in name else "" for name in (source, target)]
            if all(pair) and pair[0] != pair[1]:
                graph[pair[0]].add(pair[1])
    return graph


def arrows(graph: Graph) -> set[tuple[str, str]]:
    return {(source, target) for source, targets in graph.items() for target in targets}


def circles(graph: Graph) -> list[list[str]]:
    """Sets of nodes that reach each other: strongly connected parts (Tarjan 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(part) > 1:
                parts.append(sorted(part))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return parts


def floors(graph: Graph) -> dict[str, int]:
    """The floor of each room: 1 where it imports none; rooms of a circle share theirs."""
    member = {node: "|".join(part) for part in circles(graph) for node in part}
    joined: Graph = defaultdict(set)
    for source, target in arrows(graph):
        a, b = member.get(source, source), member.get(target, target)
        if a != b:
            joined[a].add(b)
    found: dict[str, int] = {}

    def floor(node: str) -> int:
        if node not in found:
            found[node] = 1 + max((floor(t) for t in joined.get(node, ())), default=0)
        return found[node]

    nodes = {n for pair in arrows(graph) for n in pair}
    return {node: floor(member.get(node, node)) for node in nodes}


def stated_floors(path: Path) -> int:
    """Layers of import-linter's contract over the whole package."""
    if not path.is_file():
        return 0
    tool = tomllib.loads(path.read_text()).get("tool", {})
    contracts = tool.get("importlinter", {}).get("contracts", [])
    return max((len(c["layers"]) for c in contracts if c.get("type") == "layers"), default=0)


def table(houses: list[House], option: str) -> list[list[str]]:
    """A line for each figure, a column for each checkout."""
    longest = [sorted(h.functions, key=lambda f: (-f[0], f[2]))[:MOST] for h in houses]
    widest = [sorted(h.functions, key=lambda f: (-f[1], f[2]))[:MOST] for h in houses]

    def line(what: str, values: Iterable[object]) -> list[str]:
        return [what, *(f"{v:,}" if isinstance(v, int) else str(v) for v in values)]

    return [
        line("", (h.root.resolve().name for h in houses)),
        line("rooms (entries in the root)", (h.entries for h in houses)),
        line("modules", (h.modules for h in houses)),
        line("lines", (h.lines for h in houses)),
        line("lines of cli/", (h.cli_lines for h in houses)),
        line("functions", (len(h.functions) for h in houses)),
        line("arrows between rooms", (len(arrows(h.rooms)) for h in houses)),
        line("of type checkers alone", (len(h.typing_arrows) for h in houses)),
        line("circles between rooms", (len(h.room_circles) for h in houses)),
        line("circles between modules", (len(h.module_circles) for h in houses)),
        line("floors (longest way down)", (max(floors(h.rooms).values()) for h in houses)),
        line("floors stated", (h.floors_stated for h in houses)),
        line(f"statements of '{option}'", (len(h.stated) for h in houses)),
        line(f"'{option}' handed on", (len(h.handed) for h in houses)),
        line("functions over 60 lines", (sum(f[0] > 60 for f in h.functions) for h in houses)),
        line("functions of over 8 arguments", (sum(f[1] > 8 for f in h.functions) for h in houses)),
        *(
            line(f"longest function {k + 1}", (f"{f[k][0]} {f[k][2]}" for f in longest))
            for k in range(MOST)
        ),
        *(
            line(f"most arguments {k + 1}", (f"{f[k][1]} {f[k][2]}" for f in widest))
            for k in range(MOST)
        ),
    ]


def details(house: House, option: str) -> Iterator[str]:
    """What was counted, by name."""
    yield f"\n## {house.root.resolve().name}"
    for title, found in (("rooms", house.room_circles), ("modules", house.module_circles)):
        for part in found:
            inner = [name for name in part if name]
            yield f"circle of {title}: {' <-> '.join(inner)}"
    yield from (f"{option}, stated: {place}" for place in house.stated)
    yield from (f"{option}, handed on: {place}" for place in house.handed)
    yield from (f"for type checkers alone: {a} -> {b}" for a, b in sorted(house.typing_arrows))
    by_floor: dict[int, list[str]] = defaultdict(list)
    for room, number in floors(house.rooms).items():
        by_floor[number].append(room)
    for number in sorted(by_floor, reverse=True):
        yield f"floor {number}: {' '.join(sorted(by_floor[number]))}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).parents[1]
    parser.add_argument("roots", type=Path, nargs="*", default=[here], help="roots of checkouts")
    parser.add_argument("--option", default="unconfirmed", help="whose statements are counted")
    parser.add_argument("--list", action="store_true", help="name circles, statements, floors")
    arguments = parser.parse_args()
    houses = [survey(root, arguments.option) for root in arguments.roots]
    rows = table(houses, arguments.option)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 2) for w in widths) + "|")
    if arguments.list:
        for house in houses:
            print("\n".join(details(house, arguments.option)))


if __name__ == "__main__":
    main()
