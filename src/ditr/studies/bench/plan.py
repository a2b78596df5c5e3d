"""What is measured: cases, and one measurement as plain values that a fresh process can be given."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CASES",
    "CLASSES",
    "FILES_ENCODER",
    "FILES_WIDTH",
    "TOKENS",
    "TOKEN_WIDTH",
    "UNSEEN",
    "VOXELS",
    "WHAT",
    "Job",
]

TOKENS, TOKEN_WIDTH, UNSEEN, CLASSES = 12_000, 1024, 0.43, 200
"""Of 10 views of 30 x 40 patches by a ViT-L, as in the paper's setting; the share of voxels that no view sees."""

FILES_ENCODER, FILES_WIDTH = "dinov2-small", 384
"""The encoder of the photographs that are read from files, and the width of its tokens."""

CASES: dict[str, tuple[str, ...]] = {
    "inference": ("ptv3", "ditr", "d-ditr", "minkunet"),
    "training": ("ptv3", "ditr", "d-ditr", "minkunet"),
    "files": ("ptv3", "ditr", "ditr-cached", "minkunet"),
    "pyramid": ("ptv3", "ditr", "minkunet"),
    "loader": ("ptv3", "ditr"),
    "encoder": ("dinov2-small",),
    "machine": ("peaks",),
}
"""What there is to measure, and of which networks. ``d-ditr`` is a student's network with its teacher's width as
output; ``ditr-cached`` has the features of its photographs in the cache."""
WHAT = tuple(CASES)
VOXELS = ("inference", "training", "pyramid")
"""What is measured for a number of voxels; the others have a whole room of the built-in world."""


@dataclass(frozen=True)
class Job:
    """One measurement, made in a process of its own.

    Attributes:
        what, case: see :data:`CASES`; the case of "encoder" is a name as for ``load_image_encoder``.
        voxels: how many; None where :data:`VOXELS` does not list it.
        threads: of torch.
        precision: "fp32" or "bf16" (autocast).
        device: "cpu" or "cuda".
        repeats: how often it is timed, after one time to warm up.
        inputs: folder with what ``inputs.prepare`` wrote.
        stages: whether to find out, after the clock has stopped, where the time goes.
        result: file for what was computed the first time; None to forget it.
    """

    what: str
    case: str
    voxels: int | None
    threads: int
    precision: str
    device: str
    repeats: int
    inputs: str
    stages: bool = False
    result: str | None = None

    @property
    def title(self) -> str:
        """For progress and tables."""
        return " ".join(str(part) for part in (self.what, self.case, self.voxels) if part is not None)

    @property
    def folder(self) -> Path:
        return Path(self.inputs)

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Job:
        values: dict[str, Any] = json.loads(text)
        return cls(**values)
