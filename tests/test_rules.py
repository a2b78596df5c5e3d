"""Rules that the code keeps, read off its syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "ditr"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The journey of a scene, a floor per line; what stands on one floor does not import its neighbours, only floors before.
FLOORS = (
    ("errors", "stopping", "threads"),
    ("reading",),
    ("io", "scene", "runtime"),
    ("geometry",),
    ("captures", "nn"),
    ("encoders", "pictures", "plausibility"),
    ("data", "models"),
    ("datasets",),
    ("weights",),
    ("inference",),
    ("labelling", "evaluation", "doctor"),
    ("training",),
    ("recipes",),
    ("viewer",),
    ("cli",),
)
# Beside the journey: the worlds, and the studies that are made with them. Of the product only ``cli`` may import them.
BESIDE = {
    "worlds": {"errors", "stopping", "threads", "reading", "io", "scene", "runtime", "geometry"}
    | {"captures", "pictures", "datasets"},
    "studies": {name for floor in FLOORS[:-1] for name in floor} | {"worlds"},
}
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FACE = ("__init__", "__main__")
"""The package's own two modules: what they import are the names that they pass on."""


def may_import(importer: str, imported: str) -> bool:
    """Whether the floors let one room import another."""
    if importer == imported or importer in FACE:
        return True
    if importer in BESIDE:
        return imported in BESIDE[importer]
    if imported in BESIDE:
        return importer == "cli"
    return imported in FLOOR and FLOOR[imported] < FLOOR[importer]


def room(path: Path) -> str:
    """The folder of the package that a module is in, or the module's own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, at whatever depth, for types alone too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def texts_without_encoding(source: str) -> Iterator[str]:
    """Calls that read or write text in whatever encoding the machine has."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        modes = [part.value for part in node.args if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        modes += [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "mode"]
        # A path's own method has a mode at most; what has other arguments opens something else.
        others = isinstance(node.func, ast.Attribute) and name == "open" and len(modes) < len(node.args)
        opened = name in ("open", "fdopen") and not others
        if name in ("write_text", "read_text") or (opened and not any("b" in mode for mode in modes)):
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_texts_are_utf8_on_every_machine() -> None:
    found = {str(path): list(texts_without_encoding(path.read_text(encoding="utf-8"))) for path in MODULES}
    assert {path: calls for path, calls in found.items() if calls} == {}
    told = "a.open()", 'a.open("w")', "open(a)", "a.read_text()", 'a.write_text("b")', 'os.fdopen(a, "w")'
    sound = 'a.open("rb")', 'open(a, mode="wb")', 'a.read_text(encoding="utf-8")', "Image.open(a)", "a.read_bytes()"
    assert all(list(texts_without_encoding(code)) for code in told)
    assert not any(list(texts_without_encoding(code)) for code in sound)


UNPICKLING_PACKAGES = {"pickle", "_pickle", "cPickle", "pickletools", "dill", "cloudpickle", "jsonpickle", "shelve"}
UNPICKLING_PACKAGES |= {"marshal", "joblib", "copyreg", "copy_reg"}
# Functions that unpickle whatever their arguments are; ``torch.load`` does so even with ``weights_only``.
UNPICKLING_FUNCTIONS = {"torch.load", "torch.serialization", "torch.jit.load", "torch.package", "torch.hub"}
UNPICKLING_FUNCTIONS |= {"torch.utils.model_zoo", "torch.storage._load_from_bytes", "pandas.read_pickle"}
NUMPY_FUNCTIONS = {"numpy.load", "numpy.save", "numpy.lib.format.read_array", "numpy.lib.npyio.NpzFile"}


def full_names(tree: ast.AST) -> dict[str, str]:
    """What the imported names of a module stand for: ``np`` for ``numpy``."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.split(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module or ''}.{alias.name}" for alias in node.names}
    return names


def unpickling(source: str) -> Iterator[str]:
    """Everything in a module that could unpickle: imports, names that are used in any way, and arguments of calls."""
    tree = ast.parse(source)
    names = full_names(tree)

    def full(node: ast.AST) -> str:
        first, _, rest = ast.unparse(node).partition(".")
        return ".".join(filter(None, (names.get(first, first), rest)))

    def forbidden(name: str) -> bool:
        among = any(name == one or name.startswith(f"{one}.") for one in UNPICKLING_FUNCTIONS)
        return among or name.split(".")[0] in UNPICKLING_PACKAGES

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if forbidden(alias.name))
        elif isinstance(node, ast.ImportFrom):
            yield from (name for alias in node.names if forbidden(name := f"{node.module or ''}.{alias.name}"))
        elif isinstance(node, ast.Attribute) or (isinstance(node, ast.Name) and node.id in names):
            if forbidden(full(node)):
                yield full(node)
        elif isinstance(node, ast.Constant) and node.value in UNPICKLING_PACKAGES:
            yield f"the text {node.value!r}, which import_module could be given"
        elif isinstance(node, ast.keyword) and (
            node.arg == "weights_only" or (node.arg == "allow_pickle" and ast.unparse(node.value) != "False")
        ):
            yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            called = full(node.func)
            if called in NUMPY_FUNCTIONS and all(keyword.arg != "allow_pickle" for keyword in node.keywords):
                yield f"{called} without allow_pickle=False"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_unpickled(path: Path) -> None:
    assert not list(unpickling(path.read_text()))
    assert not {name.split(".")[0] for name in imports(path)} & {"torchvision", "timm"}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import os, _pickle",
        "def f():\n    import cPickle",
        "from joblib import load",
        "import cloudpickle.cloudpickle",
        "import shelve",
        "import marshal",
        "from dill import load",
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load",
        "from torch import load as read",
        "import torch\nread = torch.load",
        "import torch.serialization",
        "from torch.serialization import load",
        "import torch\ntorch.serialization.load('x')",
        "import torch\ntorch.jit.load('x')",
        "import torch\ntorch.hub.load_state_dict_from_url('x')",
        "read('x', weights_only=True)",
        "import numpy as np\nnp.load('x')",
        "import numpy\nnumpy.load('x', mmap_mode='r')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "from numpy import load\nload('x')",
        "import numpy as np\nnp.save('x', 1)",
        "read('x', allow_pickle=flag)",
        "__import__('pickle')",
        "import importlib\nimportlib.import_module('pickle')",
        "from importlib import import_module\nhome = {'loads': 'pickle'}\nimport_module(home[name])",
        "import pandas as pd\npd.read_pickle('x')",
    ],
)
def test_unpickling_is_found(source: str) -> None:
    assert list(unpickling(source))


@pytest.mark.parametrize(
    "source",
    [
        "from ditr.io.pickle_reader import read_pickle",
        "from safetensors.torch import load\nload(b'')",
        "import json\njson.load(file)",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "load = 1\nself.load()",
    ],
)
def test_other_loading_is_not_mistaken_for_it(source: str) -> None:
    assert not list(unpickling(source))


def rooms_imported(path: Path) -> set[str]:
    """The rooms that a module imports, its own too."""
    parts = [name.split(".") for name in imports(path)]
    return {name[1] for name in parts if name[0] == "ditr" and len(name) > 1} & {room(module) for module in MODULES}


def test_the_rooms_are_those_of_the_design() -> None:
    assert {room(path) for path in MODULES} == {*FLOOR, *BESIDE, *FACE}
    loose = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert loose == {"__init__.py", "__main__.py", "py.typed"} | {
        f"{name}.py" for name in ("errors", "stopping", "threads", "reading", "runtime", "scene")
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    assert not {name for name in rooms_imported(path) if not may_import(room(path), name)}


def test_the_floors_tell_right_from_wrong() -> None:
    assert may_import("data", "geometry") and may_import("cli", "worlds") and may_import("studies", "recipes")
    for importer, imported in [
        ("geometry", "data"),  # upwards
        ("io", "scene"),  # a neighbour
        ("data", "models"),
        ("training", "worlds"),  # only the command line shows them
        ("worlds", "data"),
        ("geometry", "no_such_room"),
    ]:
        assert not may_import(importer, imported), f"{importer} -> {imported}"


def test_the_command_line_imports_worlds_and_studies_inside_functions() -> None:
    for path in (PACKAGE / "cli").glob("*.py"):
        at_once = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        text = "\n".join(map(ast.unparse, at_once))
        assert "ditr.worlds" not in text and "ditr.studies" not in text, path.name


def test_no_circles() -> None:
    named = {".".join(("ditr", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in MODULES}
    named = {name.removesuffix(".__init__"): path for name, path in named.items() if name != "ditr.__init__"}

    def module_of(name: str) -> str | None:
        return next((m for m in (name, name.rpartition(".")[0]) if m in named), None)

    graph = {name: {module_of(other) for other in imports(path)} - {None, name} for name, path in named.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in done:
            for other in sorted(filter(None, graph[name])):
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@cache
def network_classes() -> set[str]:
    """Names of the classes that make the 3D networks, and of the types that stand for any of them."""
    files = [path for path in MODULES if room(path) == "models" and path.stem not in ("segmentation", "distillation")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    return {node.name for node in nodes if isinstance(node, ast.ClassDef)} | {"NetworkConfig"}


def choices_by_network(source: str) -> Iterator[str]:
    """Where a module asks what class of network it has, or what its config is called in files."""
    networks = network_classes()

    def of_network(node: ast.AST) -> bool:
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        names |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
        return bool(names & networks)

    def kind(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "kind" and not ast.unparse(node.value).endswith("dtype")

    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            found = of_network(node.args[1])
        elif isinstance(node, ast.Compare):
            parts = [node.left, *node.comparators]
            found = any(kind(part) or (isinstance(part, ast.Name) and of_network(part)) for part in parts)
        elif isinstance(node, ast.Match):
            found = kind(node.subject)
        else:
            found = isinstance(node, ast.MatchClass) and of_network(node.cls)
        if found:
            yield ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_outside_models_asks_which_network_it_has(path: Path) -> None:
    assert room(path) == "models" or not list(choices_by_network(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "isinstance(network, PTv3Config)",
        "isinstance(model.backbone, (int, minkunet.MinkUNet))",
        "issubclass(kind, Backbone | None)",
        "isinstance(config, NetworkConfig)",
        "type(network) is PTv3Config",
        "config.network.kind == 'ptv3'",
        "'ptv3' in (1, network.kind) or network.kind in names",
        "match network:\n    case PTv3Config():\n        pass",
        "match network.kind:\n    case 'ptv3':\n        pass",
    ],
)
def test_choices_by_network_are_found(source: str) -> None:
    assert list(choices_by_network(source))


@pytest.mark.parametrize(
    "source", ["isinstance(model, Distillation)", "array.dtype.kind in 'iu'", "PTv3Config(kind='ptv3')", "a is None"]
)
def test_other_choices_are_not_mistaken_for_them(source: str) -> None:
    assert not list(choices_by_network(source))


@pytest.mark.parametrize("statement", ["import ditr", "import ditr.cli", "from ditr.scene import Scene"])
def test_torch_is_not_loaded_before_it_is_needed(statement: str) -> None:
    program = f"import sys; {statement}; assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_needs_no_torch() -> None:
    program = """
import atexit, sys
from ditr.cli import main
atexit.register(lambda: print("torch" in sys.modules))
main(["--help"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    commands = ("demo", "rooms", "streets", "features", "train", "segment", "evaluate")
    assert all(command in done.stdout for command in commands)


@pytest.mark.parametrize(
    "module",
    ["ditr.models.segmentation", "ditr.encoders.image_encoder", "ditr.training.loop", "ditr.inference.segmenter"],
)
def test_the_core_needs_no_command_line_or_viewer(module: str) -> None:
    program = f"import sys; sys.modules.update(tyro=None, pydantic=None, viser=None); import {module}"
    subprocess.run([sys.executable, "-c", program], check=True)
