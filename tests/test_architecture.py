"""What imports what: no circles, and arrows point down."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SRC = Path(__file__).parent.parent / "src"

LEVELS = (
    {"errors"},
    {"core"},
    {"ir"},
    {"lang"},
    {"tasks"},
    {"run"},
    {"model"},
    {"rewrite"},
    {"learn"},
    {"naming", "passes"},
    {"evidence"},
    {"search"},
    {"train"},
    {"view", "compare"},
    {"study"},
    {"program", "decompilation"},
    {"cli"},
    {"__init__", "__main__"},
)
"""Packages, and modules beside them, from bottom to top: each imports from its own level and from those below."""


@cache
def graph() -> dict[str, set[str]]:
    """For each module the modules that it imports: for type checkers, inside functions, and by name when first used included."""
    files = {".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): file for file in SRC.rglob("*.py")}
    return {module: _imported(ast.parse(file.read_text(encoding="utf-8")), set(files)) for module, file in files.items()}


def _imported(tree: ast.Module, modules: set[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(submodules & modules)
            if not submodules <= modules and node.module:
                found.add(node.module)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("drasp."):
            found.add(node.value)
    return found & modules


def _package(module: str) -> str:
    """The package right under drasp, or the module that stands there."""
    return "__init__" if module == "drasp" else module.split(".")[1]


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def test_imports_point_down() -> None:
    level = {package: number for number, packages in enumerate(LEVELS) for package in packages}
    upward = [
        f"{module} imports {imported}"
        for module, found in graph().items()
        for imported in found
        if level.get(_package(module), len(LEVELS)) < level.get(_package(imported), -1)
    ]
    assert not upward, "\n".join(sorted(upward))


def test_every_package_has_its_level() -> None:
    packages = set(map(_package, graph()))
    assert packages <= {package for level in LEVELS for package in level}
