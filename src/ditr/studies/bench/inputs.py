"""What is measured on, made once and read by every process: real rooms, real photographs, random features and weights.

Nothing is zero and nothing repeats, since both would be faster than what people have.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ditr.geometry.voxels import voxelize
from ditr.studies.bench.networks import make_model
from ditr.studies.bench.plan import CLASSES, FILES_WIDTH, TOKEN_WIDTH, TOKENS, UNSEEN, VOXELS, Job
from ditr.studies.bench.scannet_room import write_dataset
from ditr.worlds.rooms import RoomsConfig, make_room, write_rooms

__all__ = ["prepare", "room_voxels"]

VOXEL_SIZE, CHANNELS = 0.02, 6
PHOTOGRAPHS, HEIGHT, WIDTH = 10, 420, 560
"""Of the room that is read from files."""
_SPACING = 0.0125
_GAP = 10
"""Voxels between rooms that stand side by side."""


def prepare(jobs: Iterable[Job], folder: Path) -> None:
    """Write all that some jobs read."""
    jobs = list(jobs)
    counts = sorted({job.voxels for job in jobs if job.what in VOXELS and job.voxels is not None})
    for count in counts:
        save_file(_voxels(count), folder / f"voxels-{count}.safetensors")
    generator = torch.Generator().manual_seed(1)
    save_file({"tokens": torch.randn(TOKENS, TOKEN_WIDTH, generator=generator)}, folder / "tokens.safetensors")
    for job in jobs:
        weights = folder / f"weights-{job.what}-{job.case}.safetensors"
        if job.what in ("inference", "training", "files") and not weights.exists():
            width = FILES_WIDTH if job.what == "files" else TOKEN_WIDTH
            save_file(_weights(make_model(job.case, width)), weights)
    if any(job.what == "files" for job in jobs):
        config = RoomsConfig(train=1, test=0, views=PHOTOGRAPHS, width=WIDTH, height=HEIGHT, spacing=_SPACING)
        write_rooms(folder / "rooms", config, workers=1)
    if any(job.what == "loader" for job in jobs):
        write_dataset(folder / "dataset", scenes=1)


def room_voxels(count: int) -> Tensor:
    """(count, 3) cells of 2 cm: those nearest to the middle of a densely scanned room, or of a house of such rooms."""
    grids: list[Tensor] = []
    while sum(map(len, grids)) < count:
        config = RoomsConfig(train=len(grids) + 1, test=0, views=1, width=28, height=28, spacing=0.01)
        grids.append(voxelize(make_room(config, "train", len(grids)).coord, VOXEL_SIZE).grid)
    grid = _side_by_side(grids)
    distance = (grid - grid.float().mean(dim=0)).norm(dim=1)
    rows = distance.argsort()[:count].sort().values
    return grid[rows] - grid[rows].min(dim=0).values


def _side_by_side(grids: list[Tensor]) -> Tensor:
    """Rooms on a chessboard, with a gap between them."""
    corners = [grid - grid.min(dim=0).values for grid in grids]
    pitch = torch.stack([grid.max(dim=0).values for grid in corners]).max(dim=0).values + 1 + _GAP
    columns = int(np.ceil(np.sqrt(len(grids))))
    places = [torch.tensor([number // columns, number % columns, 0]) for number in range(len(grids))]
    return torch.cat([grid + place * pitch for grid, place in zip(corners, places, strict=True)])


def _voxels(count: int) -> dict[str, Tensor]:
    """Cells, features, the image token of each voxel (-1 for none) and a label."""
    generator = torch.Generator().manual_seed(0)
    patch = torch.arange(count) * TOKENS // count
    patch[torch.rand(count, generator=generator) < UNSEEN] = -1
    return {
        "grid": room_voxels(count),
        "feature": torch.randn(count, CHANNELS, generator=generator),
        "patch": patch,
        "label": torch.randint(0, CLASSES, (count,), generator=generator),
    }


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """As initialised, but with norms that do something, as after training."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.LayerNorm) and module.weight is not None:
            size = module.weight.shape
            with torch.no_grad():
                module.weight.copy_(torch.rand(size, generator=generator) + 0.5)
                module.bias.copy_(0.1 * torch.randn(size, generator=generator))
                if isinstance(module, nn.BatchNorm1d) and module.running_mean is not None:
                    module.running_mean.copy_(0.1 * torch.randn(size, generator=generator))
                    assert module.running_var is not None
                    module.running_var.copy_(torch.rand(size, generator=generator) + 0.5)
    return {name: value.contiguous() for name, value in model.state_dict().items()}
