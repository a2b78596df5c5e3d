"""Synthetic checkpoints in the layout of the published ones: every row of the list of weights, and the goldens.

Names and shapes follow the published state dicts as they are described, not our own conversion, which they test.
Values follow the fill rule, except that the counters of batches, which change no output, differ from one another.
"""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from golden import fill_value
from torch import Tensor

__all__ = [
    "FULL",
    "ROWS",
    "SMALL",
    "Layout",
    "Sizes",
    "adapted_shapes",
    "as_numpy_1_writes_it",
    "assert_same_bytes",
    "plain",
    "published_shapes",
    "published_values",
    "write_checkpoint",
]

Shapes = dict[str, tuple[int, ...]]

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Sizes:
    """Channels and blocks of the stages, the finest first; ``stem`` is that of the MinkUNet, which is no stage."""

    encoder: tuple[int, ...]
    encoder_blocks: tuple[int, ...]
    decoder: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    stem: int = 0


FULL = {
    "PTv3": Sizes((32, 64, 128, 256, 512), (2, 2, 2, 6, 2), (64, 64, 128, 256), (2, 2, 2, 2)),
    "MinkUNet": Sizes((32, 64, 128, 256), (2, 3, 4, 6), (96, 96, 128, 256), (2, 2, 2, 2), stem=32),
}
SMALL = {
    "PTv3": Sizes((16, 32), (1, 2), (32,), (1,)),
    "MinkUNet": Sizes((8, 16), (1, 2), (12, 16), (1, 1), stem=8),
}


@dataclass(frozen=True)
class Layout:
    """What a checkpoint of the list holds.

    Attributes:
        name: of the row; any for other layouts.
        in_channels: of the points.
        classes: of the segmentation head; None for a student.
        images: channels of the image features that the network takes.
        teacher: channels that a student predicts.
        norms: how many datasets have norms of their own.
        network: "PTv3" or "MinkUNet".
        heads: how many heads a student has.
        context: width of the vector per dataset.
        missing: whether there is an embedding for points that no view sees.
        prefix: whether names begin with ``module.``, as after training on several GPUs.
        ordered: whether the state dict is an OrderedDict.
        amp: whether training was in mixed precision.
        best: the best metric so far.
    """

    name: str
    in_channels: int
    classes: int | None
    images: int | None = None
    teacher: int | None = None
    norms: int = 0
    network: str = "PTv3"
    heads: int = 1
    context: int | None = None
    missing: bool = False
    prefix: bool = False
    ordered: bool = False
    amp: bool = True
    best: float = -np.inf

    @property
    def student(self) -> bool:
        return self.classes is None


# Six input channels indoors (colour, normal), four outdoors (coordinates, intensity), nine for the MinkUNet.
ROWS = (
    Layout("ditr-scannet-dinov2-l", 6, 20, 1024, prefix=True, best=np.float64(0.805)),
    Layout("ditr-scannet200-dinov2-l", 6, 200, 1024, best=np.float64(0.412)),
    Layout("ditr-scannet200-dinov3-l", 6, 200, 1024, prefix=True, ordered=True, best=np.float64(0.423)),
    Layout("ditr-s3dis-dinov2-l", 6, 13, 1024, amp=False, best=np.float64(0.741)),
    Layout("ditr-nuscenes-dinov2-s", 4, 16, 384, prefix=True, best=np.float64(0.828)),
    Layout("ditr-nuscenes-dinov2-b", 4, 16, 768, ordered=True, best=np.float64(0.83)),
    Layout("ditr-nuscenes-dinov2-l", 4, 16, 1024, best=np.float64(0.831)),
    Layout("ditr-nuscenes-dinov2-g", 4, 16, 1536, prefix=True, best=np.float64(0.842)),
    Layout("ditr-nuscenes-dinov3-l", 4, 16, 1024, ordered=True, best=np.float64(0.839)),
    Layout("ditr-semantickitti-dinov2-l", 4, 19, 1024, prefix=True, best=np.float64(0.69)),
    Layout("distilled-scannet-dinov2-l", 6, None, teacher=1024, best=np.float64(-0.21)),
    Layout("distilled-scannet-structured3d-dinov2-l", 6, None, teacher=1024, norms=3, prefix=True),
    Layout("distilled-nuscenes-dinov2-l", 4, None, teacher=1024, ordered=True, best=np.float64(-0.3)),
    Layout("d-ditr-scannet", 6, 20, norms=3, prefix=True, best=np.float64(0.792)),
    Layout("d-ditr-scannet200", 6, 200, norms=3, best=np.float64(0.377)),
    Layout("d-ditr-s3dis", 6, 13, norms=3, ordered=True, best=np.float64(0.75)),
    Layout("d-ditr-scannet-minkunet", 9, 20, network="MinkUNet", prefix=True, best=np.float64(0.762)),
    Layout("d-ditr-nuscenes", 4, 16, amp=False, best=np.float64(0.809)),
)


# ---- names and shapes -----------------------------------------------------------------------------------------------


def published_shapes(layout: Layout, sizes: Sizes | None = None) -> Shapes:
    """Names (without ``module.``) and shapes of a layout, at published size unless ``sizes`` says otherwise."""
    sizes = FULL[layout.network] if sizes is None else sizes
    body = _minkunet(layout, sizes) if layout.network == "MinkUNet" else _ptv3(layout, sizes)
    result = {f"backbone.{name}": shape for name, shape in body.items()}
    width = sizes.decoder[0]
    if layout.classes is not None and layout.network == "MinkUNet":
        result["backbone.final.weight"] = (layout.classes, 1, 1, 1, width)
        result["backbone.final.bias"] = (layout.classes,)
    elif layout.classes is not None:
        result |= _linear("seg_head", width, layout.classes)
    if layout.teacher is not None:
        heads = ["proj"] if layout.heads == 1 else [f"proj.{head}" for head in range(layout.heads)]
        for head in heads:
            result |= _linear(head, width, layout.teacher)
    if layout.context is not None:
        result["embedding_table.weight"] = (layout.norms, layout.context)
    return result


def adapted_shapes(keys: Shapes, layout: Layout) -> Shapes:
    """A stored list of names and shapes of the same kind of network, at other input channels, classes and widths."""
    result = {}
    for name, shape in keys.items():
        if name in ("backbone.embedding.stem.conv.weight", "backbone.conv_input.0.weight"):
            shape = (*shape[:-1], layout.in_channels)
        elif name.endswith("up.proj_image_feat.1.weight"):
            assert layout.images is not None
            shape = (shape[0], layout.images)
        elif name.startswith(("seg_head.", "backbone.final.")):
            assert layout.classes is not None
            shape = (layout.classes, *shape[1:])
        for part in _inserted(name, layout.norms):
            result[part] = shape
    return result


def _inserted(name: str, norms: int) -> list[str]:
    """A name of PTv3 as it is with norms per dataset: ``.norm.0`` and so on before the value's name."""
    layer, _, value = name.rpartition(".")
    ends = ("stem.norm", "cpe.2", "norm1.0", "norm2.0", "down.norm.0", "up.proj.1", "up.proj_skip.1")
    if norms and layer.endswith(ends):
        return [f"{layer}.norm.{number}.{value}" for number in range(norms)]
    return [name]


def _ptv3(layout: Layout, sizes: Sizes) -> Shapes:
    result: Shapes = {"embedding.stem.conv.weight": (sizes.encoder[0], 5, 5, 5, layout.in_channels)}
    result |= _batch_norm("embedding.stem.norm", sizes.encoder[0])
    for stage, (width, blocks) in enumerate(zip(sizes.encoder, sizes.encoder_blocks, strict=True)):
        if stage:
            result |= _linear(f"enc.enc{stage}.down.proj", sizes.encoder[stage - 1], width)
            result |= _batch_norm(f"enc.enc{stage}.down.norm.0", width)
        for block in range(blocks):
            result |= _block(f"enc.enc{stage}.block{block}", width)
    for stage in reversed(range(len(sizes.decoder))):
        width, below = sizes.decoder[stage], (*sizes.decoder, sizes.encoder[-1])[stage + 1]
        up = f"dec.dec{stage}.up"
        result |= _linear(f"{up}.proj.0", below, width) | _batch_norm(f"{up}.proj.1", width)
        result |= _linear(f"{up}.proj_skip.0", sizes.encoder[stage], width) | _batch_norm(f"{up}.proj_skip.1", width)
        if layout.images is not None:
            result |= _linear(f"{up}.proj_image_feat.1", layout.images, width)
            result |= _batch_norm(f"{up}.proj_image_feat.2", width)
        for block in range(sizes.decoder_blocks[stage]):
            result |= _block(f"dec.dec{stage}.block{block}", width)
    if layout.missing:
        assert layout.images is not None
        result["missing_feature_embedding"] = (layout.images,)
    return {part: shape for name, shape in result.items() for part in _inserted(name, layout.norms)}


def _block(name: str, width: int) -> Shapes:
    result: Shapes = {f"{name}.cpe.0.weight": (width, 3, 3, 3, width), f"{name}.cpe.0.bias": (width,)}
    result |= _linear(f"{name}.cpe.1", width, width)
    for norm in ("cpe.2", "norm1.0", "norm2.0"):
        result |= {f"{name}.{norm}.weight": (width,), f"{name}.{norm}.bias": (width,)}
    result |= _linear(f"{name}.attn.qkv", width, 3 * width) | _linear(f"{name}.attn.proj", width, width)
    return result | _linear(f"{name}.mlp.0.fc1", width, 4 * width) | _linear(f"{name}.mlp.0.fc2", 4 * width, width)


def _minkunet(layout: Layout, sizes: Sizes) -> Shapes:
    def convolution(name: str, inputs: int, outputs: int, edge: int) -> Shapes:
        return {f"{name}.weight": (outputs, edge, edge, edge, inputs)}

    def norm(name: str, width: int) -> Shapes:
        names = [f"{name}.bns.{number}" for number in range(layout.norms)] or [name]
        return {key: shape for one in names for key, shape in _batch_norm(one, width).items()}

    first, second = ("conv", "bn") if layout.norms else ("0", "1")
    short, short_norm = ("proj_conv", "proj_norm") if layout.norms else ("proj.0", "proj.1")

    def block(name: str, inputs: int, width: int) -> Shapes:
        result = convolution(f"{name}.conv1", inputs, width, 3) | norm(f"{name}.bn1", width)
        result |= convolution(f"{name}.conv2", width, width, 3) | norm(f"{name}.bn2", width)
        if inputs != width:
            result |= convolution(f"{name}.{short}", inputs, width, 1) | norm(f"{name}.{short_norm}", width)
        return result

    result = convolution(f"conv_input.{first}", layout.in_channels, sizes.stem, 5)
    result |= norm(f"conv_input.{second}", sizes.stem)
    finer = (sizes.stem, *sizes.encoder)
    for stage, width in enumerate(sizes.encoder):
        result |= convolution(f"down.{stage}.{first}", finer[stage], width, 2) | norm(f"down.{stage}.{second}", width)
        for number in range(sizes.encoder_blocks[stage]):
            result |= block(f"enc.{stage}.block{number}", width, width)
    for stage, width in enumerate(sizes.decoder):
        below = (*sizes.decoder, sizes.encoder[-1])[stage + 1]
        result |= convolution(f"up.{stage}.{first}", below, width, 2) | norm(f"up.{stage}.{second}", width)
        for number in range(sizes.decoder_blocks[stage]):
            result |= block(f"dec.{stage}.block{number}", width if number else width + finer[stage], width)
    return result


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _batch_norm(name: str, width: int) -> Shapes:
    values: Shapes = {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return values | {f"{name}.{buffer}": () if buffer == "num_batches_tracked" else (width,) for buffer in BUFFERS}


# ---- values and files -----------------------------------------------------------------------------------------------


def published_values(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Values by the fill rule; each counter has a number of its own."""
    result = {name: torch.from_numpy(np.asarray(fill_value(name, shape))) for name, shape in shapes.items()}
    for number, name in enumerate(result):
        if name.endswith("num_batches_tracked"):
            result[name] = torch.tensor(80_000 + number)
    return result


def write_checkpoint(
    path: Path, state: Mapping[str, Tensor], layout: Layout | None = None, *, trained: bool = False
) -> Path:
    """A file as the published training code leaves it.

    Args:
        path: of the file.
        state: the model's tensors by published name, without a prefix.
        layout: says how the dictionary is written.
        trained: whether the optimizer's state is that after a step, two more numbers for each weight.
    """
    layout = Layout("any", 0, 0) if layout is None else layout
    prefix = "module." if layout.prefix else ""
    named: dict[str, Any] = {prefix + name: value for name, value in state.items()}
    if layout.ordered:
        named = OrderedDict(named)
        # As torch.nn.Module.state_dict() leaves it: one entry for each module.
        vars(named)["_metadata"] = OrderedDict({"": {"version": 1}, "module": {"version": 2}})
    content = {
        "epoch": 100,
        "state_dict": named,
        **_training(state, trained),
        "scaler": torch.amp.GradScaler("cpu").state_dict() if layout.amp else None,
        "best_metric_value": layout.best,
    }
    torch.save(content, path)
    return path


def _training(state: Mapping[str, Tensor], trained: bool) -> dict[str, Any]:
    weights = {name: value for name, value in state.items() if not name.endswith(BUFFERS)}
    parameters = {
        name: torch.nn.Parameter(value.float().clone() if trained else torch.empty(0))
        for name, value in weights.items()
    }
    groups = [
        {"params": [p for name, p in parameters.items() if ("block" in name) == block]} for block in (False, True)
    ]
    groups = [group for group in groups if group["params"]]
    optimizer = torch.optim.AdamW(groups, lr=0.006, weight_decay=0.05)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [0.006, 0.0006][: len(groups)], total_steps=100, pct_start=0.05, div_factor=10, final_div_factor=1000
    )
    if trained:
        for parameter in parameters.values():
            parameter.grad = torch.full_like(parameter, 1e-3)
        optimizer.step()
        scheduler.step()
    return {"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}


def as_numpy_1_writes_it(path: Path) -> Path:
    """The same file with the best metric's type under the name that NumPy had before version 2."""
    with zipfile.ZipFile(path) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    assert any(b"numpy._core." in content for _, content in entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(
                name, content.replace(b"numpy._core.", b"numpy.core.") if name.endswith("data.pkl") else content
            )
    return path


def assert_same_bytes(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """The same names, and for each the same type, shape and bytes."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        found = actual[name].detach()
        assert (found.dtype, found.shape) == (value.dtype, value.shape), name
        assert found.numpy().tobytes() == value.numpy().tobytes(), name


def plain(layout: Layout) -> Layout:
    """The same without norms per dataset and what belongs to them."""
    return replace(layout, norms=0, heads=1, context=None)
