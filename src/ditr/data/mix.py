"""Mix3D with images: two scenes become one for the network's geometry and stay two for the photographs.

Nekrasov et al., "Mix3D: Out-of-Context Data Augmentation for 3D Scenes", 2021. As in the published DITR, both keep
their cells, each counted from its own corner: the scenes lie in one another, cells may repeat, attention and
convolutions reach from one into the other. Every point still sees the photographs of its own scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ditr.data.sample import Sample
from ditr.geometry.lift_pyramid import build_lift_pyramid, join_lift_pyramids
from ditr.geometry.pyramid import PyramidSpec, build_pyramid, draw_permutations

__all__ = ["cells_only", "mix_pairs"]


def cells_only(spec: PyramidSpec) -> PyramidSpec:
    """The least that a sample needs which will be mixed: its pyramid is built again with that of the other one."""
    return PyramidSpec(levels=1, curves=spec.curves[:1], stem_kernel=1, kernel=1, patch_size=spec.patch_size)


def mix_pairs(samples: Sequence[Sample], spec: PyramidSpec, rng: np.random.Generator) -> list[Sample]:
    """Samples 0 and 1, 2 and 3, ... in one another; of an odd number the last stays alone.

    Args:
        samples: of which only the finest level is read, so that those of :func:`cells_only` do.
        spec: the geometry that the network asks for.
        rng: draws the order of the curves.
    """
    return [_mix(samples[start : start + 2], spec, rng) for start in range(0, len(samples), 2)]


def _mix(parts: Sequence[Sample], spec: PyramidSpec, rng: np.random.Generator) -> Sample:
    """One sample of one or two."""
    grid = torch.cat([part.pyramid.levels[0].grid for part in parts])
    pyramid = build_pyramid(grid, spec, permutations=draw_permutations(rng, spec))
    lifts = [replace(part.lift, levels=part.lift.levels[:1]) for part in parts if part.lift is not None]
    lift = None
    if len(lifts) == len(parts):
        joined = join_lift_pyramids(lifts)
        built = build_lift_pyramid(joined.levels[0].token, joined.entries, pyramid)
        lift = replace(joined, levels=built.levels)
    labels = [part.label for part in parts if part.label is not None]
    tokens = [part.tokens for part in parts if part.tokens is not None]
    cls = [part.cls for part in parts if part.cls is not None]
    starts = np.cumsum([0, *(len(part) for part in parts)]).tolist()
    inverse = [torch.where(p.inverse < 0, -1, p.inverse + s) for p, s in zip(parts, starts, strict=False)]
    return Sample(
        name=" + ".join(part.name for part in parts),
        feature=torch.cat([part.feature for part in parts]),
        pyramid=pyramid,
        lift=lift,
        label=torch.cat(labels) if len(labels) == len(parts) else None,
        inverse=torch.cat(inverse),
        tokens=torch.cat(tokens) if len(tokens) == len(parts) else None,
        unencoded=tuple(image for part in parts for image in part.unencoded),
        sizes=tuple(size for part in parts for size in part.sizes),
        cls=torch.cat(cls) if len(cls) == len(parts) else None,
    )
