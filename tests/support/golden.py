"""Golden cases: what the published implementation gives on seeded inputs, read from a folder of ``.npz`` files.

A folder describes itself with ``cases.json`` (its README explains the fields), so the same tests run on any such
folder. A small one lies in the repository; a larger one is named with ``--golden-dir``. A folder may hold some of the
cases that its listing names: what needs another one, its list of parameters or its arrays is skipped, and says so.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
BUNDLED = REPOSITORY / "tests" / "reference" / "golden"


@dataclass(frozen=True)
class GoldenCase:
    """One entry of a folder's ``cases.json`` with its arrays."""

    name: str
    spec: dict[str, Any]
    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.npz"

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        _need(self.file)
        with np.load(self.file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def shapes(self, field: str = "keys") -> dict[str, tuple[int, ...]]:
        """Parameter names and shapes of the published model: in the listing itself, or a file of this or all cases."""
        entries = self.spec.get(field, f"keys/{self.name}.json")
        if isinstance(entries, str):
            entries = json.loads(_need(self.folder / entries).read_text())
        entries = entries.get(self.name, entries)
        return {key: tuple(entry[0] if isinstance(entry[0], list) else entry) for key, entry in entries.items()}

    def sibling(self, name: str) -> GoldenCase:
        return golden_case(self.folder, name)

    def keys(self, field: str, **values: str) -> list[str]:
        """The arrays that a field names, one or several: a key, then perhaps a remark, as in ``{view}.K (3, 3)``."""
        named = self.spec[field]
        return [text.format(**values).split(" ")[0] for text in ([named] if isinstance(named, str) else named)]

    def numbers(self, key: str) -> NDArray[Any]:
        """An array; also where it is the text of a file, a row of numbers per line. Text of another form stays text."""
        value = self.arrays[key]
        if value.dtype.kind not in "US" or ":" in text_of(value):
            return value
        return np.loadtxt(io.StringIO(text_of(value)), ndmin=2)

    def made_inputs(self) -> dict[str, NDArray[Any]]:
        """The case's inputs made again from their seeds."""
        arguments = self.spec["inputs"]
        return inputs_module(self.folder).make_batch(
            arguments["kind"],
            arguments["sizes"],
            arguments["seed"],
            arguments["image_channels"],
            arguments["feat"],
            arguments["n_class"],
        )


def _need(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return path


def text_of(value: NDArray[Any]) -> str:
    """Of an array that holds a file's text, as characters or as bytes."""
    if value.dtype.kind == "U":
        return str(value)
    return value.tobytes().decode("ascii")


def golden_case(folder: Path, name: str) -> GoldenCase:
    """The case of a name, with its arrays; the test is skipped where they are not here."""
    for case in golden_cases(folder):
        if case.name == name and case.file.exists():
            return case
    pytest.skip(f"no golden case {name} here")


def inputs_module(folder: Path) -> ModuleType:
    """``inputs.py`` beside a golden folder, or the one in ``shared/reference``."""
    for candidate in (folder.parent / "inputs.py", SHARED / "reference" / "inputs.py"):
        if candidate.exists():
            spec = importlib.util.spec_from_file_location("golden_inputs", candidate)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module
    pytest.skip("inputs.py, which makes the inputs of golden cases, is not here")


def golden_cases(folder: Path) -> list[GoldenCase]:
    """All cases of a folder; none where it has no ``cases.json``."""
    listing = folder / "cases.json"
    if not listing.exists():
        return []
    return [GoldenCase(name, spec, folder) for name, spec in json.loads(listing.read_text()).items()]


def fill_value(key: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The value of a parameter by its published name: the fill rule of the golden README, section 1."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")
    kind = key.rpartition(".")[2]
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    size = int(np.prod(shape))
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(size).reshape(shape)
    if kind == "running_mean":
        value = 0.1 * noise
    elif kind == "running_var":
        value = 1 + 0.25 * np.abs(noise)
    elif kind == "weight" and len(shape) >= 2:
        value = noise / np.sqrt(np.prod(shape[1:]))
    elif kind in ("weight", "gamma"):
        value = 1 + 0.1 * noise
    else:
        value = 0.05 * noise
    return value.astype(np.float32)


def error(actual: Any, expected: Any) -> float:
    """Largest absolute difference over the expected values' root mean square."""
    a = np.asarray(actual, dtype=np.float64)
    e = np.asarray(expected, dtype=np.float64)
    assert a.shape == e.shape, (a.shape, e.shape)
    if e.size == 0:
        return 0.0
    return float(np.abs(a - e).max() / max(np.sqrt(np.mean(e**2)), 1e-30))
