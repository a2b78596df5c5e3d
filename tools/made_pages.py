"""Pages of the documentation site that are made from the code: the API reference, and one for each example."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "ditr"

# What the reference leaves out: commands have their --help, and of the worlds and studies these modules are the doors.
NOT_IN_REFERENCE = ("cli", "studies", "worlds")
DOORS = ("worlds/rooms/__init__.py", "worlds/streets/__init__.py", "studies/demo/run.py", "studies/reproduce/run.py")


def examples() -> list[Path]:
    """The numbered programs, in their order."""
    return sorted(REPOSITORY.glob("examples/[0-9]*.py"))


def module_name(path: Path) -> str:
    """The dotted name of a module."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def is_public(path: Path) -> bool:
    """Whether a module says what of it is for others."""
    return path.name != "__main__.py" and "\n__all__ =" in path.read_text(encoding="utf-8")


def rooms() -> dict[str, list[Path]]:
    """The rooms of the package, each with the modules that the reference shows."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        room = name.split("/")[0].removesuffix(".py")
        if name != "__init__.py" and is_public(path) and (room not in NOT_IN_REFERENCE or name in DOORS):
            found.setdefault(room, []).append(path)
    return found


def room_texts() -> dict[str, str]:
    """What is in each room, by the table of the architecture page."""
    text = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)(?:/|\.py)` \| (.+) \|$", text, flags=re.MULTILINE)
    return {name: said[0].upper() + said[1:] for name, said in rows}


def public_names() -> Iterator[tuple[str, Path]]:
    """Every name of ``ditr.__all__`` that has a module, and that module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    homes = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ditr.")
    ]
    named = {
        alias.name: PACKAGE.parent / f"{str(node.module).replace('.', '/')}.py"
        for node in homes
        for alias in node.names
    }
    yield from sorted(named.items(), key=lambda pair: pair[0].lower())


def summary(path: Path, name: str) -> str:
    """The first sentence of a name's docstring."""
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    kinds = (ast.ClassDef, ast.FunctionDef)
    text = next((ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds) and node.name == name), "")
    return " ".join(re.sub(r":\w+:(`[^`]+`)", r"\1", text).split("\n\n")[0].split())


def reference() -> dict[str, str]:
    """Pages of the API, by path."""
    texts, found = room_texts(), rooms()
    pages = {}
    for room, modules in found.items():
        blocks = [f"::: {module_name(path)}\n" for path in modules]
        pages[f"reference/{room}.md"] = "\n".join([f"# ditr.{room}\n", f"{texts.get(room, '')}.\n", *blocks])
    lines = ["# API reference\n", "What `import ditr` offers. These names keep their meaning between minor versions.\n"]
    lines += ["| name | what it is |", "|---|---|"]
    for name, path in public_names():
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        lines.append(f"| [`ditr.{name}`]({room}.md#{module_name(path)}.{name}) | {summary(path, name)} |")
    lines += ["| `ditr.__version__` | The version, as text. |", "", "## By module\n"]
    lines += ["The folders of the package, in alphabetical order. Deep modules may move in a minor version.\n"]
    lines += ["| module | what is in it |", "|---|---|"]
    lines += [f"| [`ditr.{room}`]({room}.md) | {texts.get(room, '')} |" for room in found]
    return pages | {"reference/index.md": "\n".join(lines) + "\n"}


def example_pages() -> dict[str, str]:
    """A page for each example: what its docstring says, then its code."""
    pages, lines = {}, ["# Examples\n", "Programs of less than 100 lines, in `examples/` of the repository.\n"]
    for path in examples():
        text = path.read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(text)) or ""
        first, _, rest = docstring.partition("\n")
        code = text.partition('"""')[2].partition('"""')[2].strip()
        number, _, stem = path.stem.partition("_")
        title = f"{number}. {stem.replace('_', ' ').capitalize()}"
        pages[f"examples/{path.stem}.md"] = f"# {title}\n\n{first}\n{rest}\n\n```python\n{code}\n```\n"
        lines.append(f"* [{title}]({path.stem}.md): {first}")
    return pages | {"examples/index.md": "\n".join(lines) + "\n"}
