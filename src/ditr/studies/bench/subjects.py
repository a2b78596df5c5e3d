"""What the clock runs: one call of each is one measured time. Read by :mod:`ditr.studies.bench.measure`.

Everything of the product that is named here is that of the measured revision (see ``start.py``).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ditr.geometry.lift_pyramid import build_lift_pyramid
from ditr.geometry.pyramid import build_pyramid
from ditr.nn.image_features import ImageFeatures
from ditr.studies.bench.networks import make_model, network_of
from ditr.studies.bench.plan import CLASSES, FILES_ENCODER, FILES_WIDTH, TOKEN_WIDTH, TOKENS, Job
from ditr.studies.bench.stages import Stages

__all__ = ["Lap", "Subject", "make_subject"]

Lap = Callable[[str], AbstractContextManager[object]]
"""A part of a measured time, which is told of its own."""
Results = dict[str, Tensor]
IMAGES, HEIGHT, WIDTH = 4, 420, 560
_ROWS = 1400
"""Of a table that the stem reads at a time."""
RECIPES = {"ptv3": "ptv3", "ditr": "ditr", "d-ditr": "distill", "minkunet": "minkunet-100"}
"""Of ScanNet."""


@dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        run: does it once; gives what was computed.
        stages: puts clocks around the parts.
        unit: what ``size`` counts.
        size: how many of these a call does.
        facts: what else is worth telling.
    """

    run: Callable[[Lap], Results]
    stages: Callable[[Stages], None]
    unit: str
    size: int
    facts: dict[str, Any] = field(default_factory=dict)


def make_subject(job: Job) -> Subject:
    """What a job measures, ready to run."""
    makers = {
        "inference": _inference,
        "training": _training,
        "files": _files,
        "pyramid": _pyramid,
        "loader": _loader,
        "encoder": _encoder,
    }
    return makers[job.what](job)


def _model(job: Job, image_width: int = TOKEN_WIDTH) -> Any:
    """A case's network at published size, with the weights that all revisions share."""
    model = make_model(job.case, image_width)
    model.load_state_dict(load_file(job.folder / f"weights-{job.what}-{job.case}.safetensors"))
    return model.to(job.device)


def _read(job: Job) -> tuple[dict[str, Tensor], Tensor | None]:
    """The voxels, and the image tokens on the device; None for networks without images."""
    voxels = load_file(job.folder / f"voxels-{job.voxels}.safetensors")
    if job.case not in ("ditr", "d-ditr") or (job.case == "d-ditr" and job.what != "training"):
        return voxels, None
    return voxels, load_file(job.folder / "tokens.safetensors")["tokens"].to(job.device)


def _autocast(job: Job) -> torch.autocast:
    return torch.autocast(job.device, torch.bfloat16, enabled=job.precision == "bf16")


def _inference(job: Job) -> Subject:
    """Geometry made, on the CPU as always, and the network run; image tokens are there already."""
    model = _model(job).eval()
    voxels, tokens = _read(job)
    spec = model.backbone.config.pyramid

    @torch.no_grad()
    def run(lap: Lap) -> Results:
        with lap("geometry"):
            pyramid = build_pyramid(voxels["grid"], spec)
            lift = None if tokens is None else build_lift_pyramid(voxels["patch"], TOKENS, pyramid)
        with lap("copy"):
            feature, pyramid = voxels["feature"].to(job.device), pyramid.to(job.device)
            image = None if lift is None or tokens is None else ImageFeatures(tokens, lift.to(job.device))
        with lap("network"), _autocast(job):
            out = model(feature, pyramid) if job.case == "d-ditr" else model(feature, pyramid, image)
        return {"logits": out.prediction if job.case == "d-ditr" else out}

    def stages(clock: Stages) -> None:
        clock.function("ditr.geometry.pyramid:build_pyramid", "pyramid")
        clock.function("ditr.geometry.lift_pyramid:build_lift_pyramid", "lift")
        clock.network(model)

    return Subject(run, stages, "voxels", len(voxels["grid"]))


def _training(job: Job) -> Subject:
    """A step of the published recipe on a batch that is there already: forward, losses, backward, AdamW."""
    from ditr.data.batch import Batch
    from ditr.recipes.table import find_recipe
    from ditr.training.fabric import make_fabric
    from ditr.training.loop import TrainingRun
    from ditr.training.step import make_optimizer, take_step, to_train

    recipe = replace(find_recipe(f"scannet/{RECIPES[job.case]}").make(), epochs=None, validate_epochs=None)
    precision = "bf16-mixed" if job.precision == "bf16" else "32-true"
    fabric = make_fabric(TrainingRun(folder=job.folder, captures=[], device=job.device, precision=precision))
    bare = _model(job)
    optimizer, schedule = make_optimizer(recipe, bare)
    model, optimizer = fabric.setup(to_train(bare, recipe.task), optimizer)
    model.train()
    voxels, tokens = _read(job)
    pyramid = build_pyramid(voxels["grid"], bare.backbone.config.pyramid)
    lift = None if tokens is None else build_lift_pyramid(voxels["patch"], TOKENS, pyramid)
    batch = Batch(("room",), voxels["feature"], pyramid, lift, tokens, voxels["label"]).to(job.device)
    forever, count = itertools.repeat(batch), itertools.count()

    def run(lap: Lap) -> Results:
        step = next(count)
        torch.manual_seed(step)
        schedule.apply(optimizer, step)
        done = take_step(recipe, fabric, model, optimizer, forever)
        return {"loss": torch.tensor([done.loss]), "gradient norm": torch.tensor([done.gradient_norm])}

    def stages(clock: Stages) -> None:
        clock.network(bare)
        clock.function("torch:Tensor.backward", "backward")
        clock.function("torch.optim:AdamW.step", "optimizer")

    return Subject(run, stages, "voxels", len(voxels["grid"]))


def _pyramid(job: Job) -> Subject:
    """The geometry of a network, and for ditr which tokens its cells see; with what is made only when it is read."""
    from ditr.studies.bench.memory import tensor_bytes

    network = network_of(job.case)
    voxels = load_file(job.folder / f"voxels-{job.voxels}.safetensors")

    def build() -> tuple[Any, Any]:
        pyramid = build_pyramid(voxels["grid"], network.pyramid)
        return pyramid, build_lift_pyramid(voxels["patch"], TOKENS, pyramid) if job.case == "ditr" else None

    def run(lap: Lap) -> Results:
        pyramid, _ = build()
        for table in pyramid.levels[0].neighbours.values():
            if not isinstance(table, Tensor):
                for start in range(0, table.shape[0], _ROWS):
                    table.rows(start, start + _ROWS)
        return {"cells": torch.tensor([len(level) for level in pyramid.levels])}

    def stages(clock: Stages) -> None:
        _neighbours(clock)
        clock.function("ditr.geometry.curves:codes_along", "curve codes")
        clock.function("ditr.geometry.lift_pyramid:build_lift_pyramid", "lift")

    return Subject(run, stages, "voxels", len(voxels["grid"]), {"bytes": tensor_bytes(build())})


def _neighbours(clock: Stages) -> None:
    for function in ("neighbours_by_search", "Descent.table", "Descent.rows", "octant_table"):
        clock.function(f"ditr.geometry.neighbours:{function}", "neighbours")


def _files(job: Job) -> Subject:
    """A capture with photographs to files with labels, as ``ditr segment`` does it."""
    from ditr.captures.capture import read_capture
    from ditr.data.preparation import Preparation
    from ditr.encoders.encoding import CachedEncoding
    from ditr.encoders.feature_cache import FeatureCache
    from ditr.inference.segmenter import Segmenter
    from ditr.weights.saved_model import EncoderConfig, ModelConfig

    folder = Path(tempfile.mkdtemp(dir=job.folder))
    encoding = None
    if job.case.startswith("ditr"):
        cache = FeatureCache(folder / "features") if job.case == "ditr-cached" else None
        encoding = CachedEncoding(_spec(FILES_ENCODER), cache, job.device)
    model = _model(job, FILES_WIDTH)
    config = ModelConfig(
        network=model.backbone.config,
        preparation=Preparation(),
        class_names=tuple(f"class {number}" for number in range(CLASSES)),
        encoder=None if encoding is None else EncoderConfig.of(encoding.encoder, _spec(FILES_ENCODER)),
    )
    segmenter = Segmenter(config, model, encoding=encoding, device=job.device)

    def run(lap: Lap) -> Results:
        prediction = segmenter(read_capture(job.folder / "rooms" / "train" / "room_0000"))
        prediction.save(folder / "labels")
        return {"label": torch.from_numpy(prediction.label), "confidence": torch.from_numpy(prediction.confidence)}

    def stages(clock: Stages) -> None:
        clock.function("ditr.captures.capture:read_capture", "read points and poses")
        clock.function("ditr.captures.images:read_image", "decode images")
        clock.function("ditr.captures.images:read_depth", "decode depth maps")
        clock.function("ditr.encoders.image_encoder:ImageEncoder.prepare", "resize images")
        clock.function("ditr.encoders.image_encoder:ImageEncoder.__call__", "image encoder")
        clock.function("ditr.data.scene_views:view_features", "lift: project and test depth")
        clock.function("ditr.data.sample:prepare", "voxels and their tokens")
        clock.function("ditr.geometry.pyramid:build_pyramid", "pyramid")
        clock.function("ditr.geometry.lift_pyramid:build_lift_pyramid", "lift of all levels")
        clock.network(model)
        clock.function("ditr.inference.segmenter:Segmenter._label", "spread back to points")
        clock.function("ditr.inference.prediction:Prediction.save", "write")

    points = len(read_capture(job.folder / "rooms" / "train" / "room_0000"))
    return Subject(run, stages, "points", points)


def _loader(job: Job) -> Subject:
    """A training sample of the published recipe: files read, points and photographs augmented, voxels, pyramid."""
    from ditr.data.dataset import Item, TrainingSet
    from ditr.datasets.table import open_dataset
    from ditr.encoders.encoding import CachedEncoding
    from ditr.recipes.table import find_recipe

    recipe = find_recipe(f"scannet/{RECIPES[job.case]}").make()
    images = recipe.encoder is not None
    samples = TrainingSet(
        open_dataset("ScanNet", job.folder / "dataset" / "scannet", ("train",), images=images),
        recipe.preparation,
        recipe.network.pyramid,
        seed=0,
        augmentations=recipe.augmentation.of_points(),
        crop=recipe.augmentation.of_voxels(),
        image_augmentations=recipe.augmentation.of_images(),
        encoding=CachedEncoding(_spec(FILES_ENCODER)) if images else None,
        keep=False,
    )
    epoch = itertools.count()

    def run(lap: Lap) -> Results:
        sample = samples[Item(next(epoch), 0)]
        return {"feature": sample.feature}

    def stages(clock: Stages) -> None:
        clock.function("ditr.captures.images:read_image", "decode images")
        clock.function("ditr.captures.images:read_depth", "decode depth maps")
        clock.function("ditr.data.augment.images:augment_image", "augment images")
        clock.function("ditr.geometry.projection:shown_points", "projection")
        clock.function("ditr.data.dataset:TrainingSet.scene", "read points and poses")
        clock.function("ditr.data.augment.point_set:augment", "augment points")
        clock.function("ditr.geometry.voxels:voxelize", "voxels")
        _neighbours(clock)
        clock.function("ditr.geometry.pyramid:build_pyramid", "curves and the rest of the pyramid")
        clock.function("ditr.geometry.lift_pyramid:build_lift_pyramid", "lift of all levels")

    return Subject(run, stages, "samples", 1)


def _encoder(job: Job) -> Subject:
    """Photographs to tokens."""
    from ditr.encoders.image_encoder import ImageEncoder
    from ditr.encoders.weights import load_weights

    weights = load_weights(_spec(job.case))
    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    encoder = ImageEncoder(weights, device=job.device, dtype=dtype)
    side = encoder.patch_size
    height, width = HEIGHT // side * side, WIDTH // side * side
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(IMAGES, 3, height, width, generator=generator).to(job.device)
    facts: dict[str, Any] = {"gflop": _encoder_gflop(weights.architecture, height // side * (width // side))}

    def run(lap: Lap) -> Results:
        return {"tokens": encoder(images).patch}

    together = run(nullcontext)["tokens"].double()
    alone = torch.cat([encoder(image[None]).patch for image in images]).double()
    facts["batch or alone"] = float((together - alone).abs().max() / together.square().mean().sqrt())
    return Subject(run, lambda clock: None, "images", IMAGES, facts)


def _encoder_gflop(architecture: Any, patches: int) -> float | None:
    """Of all images, without norms and activations; None for a family whose layers are not those of DINOv2."""
    from ditr.encoders.dinov2 import Architecture

    if not isinstance(architecture, Architecture):
        return None
    tokens, width = 1 + architecture.registers + patches, architecture.width
    hidden = architecture.hidden * (3 if architecture.gated_mlp else 2)
    per_layer = 2 * tokens * width * (4 * width + hidden) + 4 * tokens**2 * width
    return IMAGES * (architecture.depth * per_layer + 6 * patches * width * architecture.patch_size**2) / 1e9


def _spec(name: str) -> str:
    """Untrained weights of the same shape run at the same speed as trained ones, and need no download."""
    return name if ":" in name or "/" in name else f"random:{name}"
