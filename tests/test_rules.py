"""Rules that the code keeps, read off its syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "ditr"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Where a folder or module stands in the journey of a scene; imports go to what stands at the same place or before.
FLOORS = (
    (
        "files",
        "plain",
        "memory",
        "device",
        "processes",
        "pickle_names",
        "pickle_machine",
        "pickle_reader",
        "stored_zip",
        "torch_file",
        "hub",
        "model_card",
        "published_models",
    ),
    ("scene",),
    ("geometry",),
    ("nn", "data"),
    ("models", "contract", "saved_model", "feature_cache", "encoding", "conversion", "pretrained"),
    ("segmenter", "lifting", "viewing"),
    ("evaluation", "training", "recipes"),
    ("demo",),
    ("cli", "__init__", "__main__"),
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def room(path: Path) -> str:
    """The folder of the package that a module is in, or the module's own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Full names of what a module imports, at whatever depth; imports for types alone left out."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_is_unpickled(path: Path) -> None:
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "torchvision", "timm"}
    assert not {name.split(".")[0] for name in imports(path)} & forbidden
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called != "torch.load", f"line {node.lineno}"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    assert ast.unparse(keyword.value) == "False", f"line {node.lineno}"
            if called in ("np.load", "np.save", "numpy.load", "numpy.save"):
                assert any(keyword.arg == "allow_pickle" for keyword in node.keywords), f"line {node.lineno}"


def test_every_module_has_its_place() -> None:
    assert {room(path) for path in MODULES} <= FLOOR.keys()


def test_imports_point_one_way() -> None:
    for path in MODULES:
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "ditr" and len(parts) > 1:
                assert FLOOR[parts[1]] <= FLOOR[room(path)], f"{path.name} imports {name}"


def test_geometry_knows_no_networks_and_data_no_models() -> None:
    for path in MODULES:
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("ditr.")}
        if room(path) == "geometry":
            assert rooms <= {"geometry", "scene", "files"}
        if room(path) == "nn":
            assert rooms <= {"nn", "geometry"}
        if room(path) == "data":
            assert rooms <= {"data", "geometry", "scene", "files", "processes"}


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
    assert all(command in done.stdout for command in ("demo", "rooms", "features", "train", "segment", "evaluate"))


@pytest.mark.parametrize("module", ["ditr.models.segmentation", "ditr.training.losses", "ditr.models.image_encoder"])
def test_the_core_needs_no_command_line_or_viewer(module: str) -> None:
    program = f"import sys; sys.modules.update(tyro=None, pydantic=None, viser=None); import {module}"
    subprocess.run([sys.executable, "-c", program], check=True)
