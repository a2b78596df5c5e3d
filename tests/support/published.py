"""Networks, geometry and inputs as a golden case describes them, with the published code's accidents switched on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from golden import GoldenCase, fill_value
from numpy.typing import NDArray
from torch import Tensor

from ditr.encoders.dinov2 import SIZES, Architecture
from ditr.encoders.image_encoder import ImageEncoder
from ditr.encoders.weights import from_timm
from ditr.geometry.curves import Curve, curve_depth
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.lift_pyramid import build_lift_pyramid, join_lift_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid
from ditr.models.backbone import NetworkConfig
from ditr.models.distillation import Distillation, Student
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.attention import position_bound
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import DatasetNorms
from ditr.weights.names import from_published


def config_of(spec: dict[str, Any]) -> NetworkConfig:
    return minkunet_config(spec) if spec["network"] == "minkunet" else ptv3_config(spec)


def minkunet_config(spec: dict[str, Any]) -> MinkUNetConfig:
    """The published lists run through the network: encoder stages, then decoder stages, the coarsest first."""
    half = len(spec["layers"]) // 2
    return MinkUNetConfig(
        in_channels=spec["in_channels"],
        stem_channels=spec["base_channels"],
        encoder_depths=tuple(spec["layers"][:half]),
        encoder_channels=tuple(spec["channels"][:half]),
        decoder_depths=tuple(spec["layers"][: half - 1 : -1]),
        decoder_channels=tuple(spec["channels"][: half - 1 : -1]),
        stem_kernel=spec["stem_kernel"],
        kernel=spec["block_kernel"],
        norms=norms_of(spec),
    )


def ptv3_config(spec: dict[str, Any]) -> PTv3Config:
    return PTv3Config(
        in_channels=spec["in_channels"],
        encoder_depths=tuple(spec["enc_depths"]),
        encoder_channels=tuple(spec["enc_channels"]),
        encoder_heads=tuple(spec["enc_num_head"]),
        decoder_depths=tuple(spec["dec_depths"]),
        decoder_channels=tuple(spec["dec_channels"]),
        decoder_heads=tuple(spec["dec_num_head"]),
        curves=tuple(Curve(order) for order in spec["orders"]),
        patch_size=spec["patch_size"],
        mlp_ratio=spec["mlp_ratio"],
        drop_path=spec["drop_path"],
        image_width=spec["image_width"] if spec["network"] == "ditr" else None,
        missing_embedding=bool(spec.get("missing_embedding")),
        pre_norm=spec["pre_norm"],
        layer_scale=spec["layer_scale_init"],
        position_bound=position_bound(spec["patch_size"]) if spec["rpe"] else None,
        norms=norms_of(spec),
    )


def norms_of(spec: dict[str, Any]) -> DatasetNorms | None:
    """From a text like "one BN and one LN per dataset"."""
    if not spec.get("norms"):
        return None
    return DatasetNorms(
        tuple(spec["datasets"]),
        batch="BN" in spec["norms"],
        layer="LN" in spec["norms"],
        context_width=spec.get("context_channels"),
        adaptive=bool(spec.get("adaptive")),
    )


def filled_model(case: GoldenCase) -> Segmentation:
    return fill(case, Segmentation(config_of(case.spec), case.spec["num_classes"], case.spec.get("dataset")))


M = TypeVar("M", Segmentation, Distillation)


def fill(case: GoldenCase, model: M) -> M:
    """Weights by the fill rule."""
    published = {key: torch.from_numpy(fill_value(key, shape)) for key, shape in case.shapes().items()}
    model.load_state_dict(from_published(published, model.state_dict(), model.backbone.config))
    return model.eval()


def filled_student(case: GoldenCase) -> Distillation:
    spec = case.spec
    student = Student(spec["image_width"], spec["head"] == "one per dataset", spec.get("cls_tokens") or 0)
    return fill(case, Distillation(config_of(spec), student, spec.get("dataset")))


def pyramid_of(
    grid: NDArray[np.integer], offset: NDArray[np.integer], spec: dict[str, Any], permutations: Any = None
) -> tuple[list[Pyramid], Pyramid]:
    """Pyramids of the samples, and the joined one, with the case's curve depth, permutations and patch sizes."""
    shape: PyramidSpec = config_of(spec).pyramid
    cells = torch.from_numpy(np.asarray(grid, dtype=np.int64))
    parts = torch.tensor_split(cells, torch.as_tensor(offset[:-1]))
    options: dict[str, Any] = {"permutations": permutations}
    if spec.get("curve_depth") == "batch":
        options["depth"] = curve_depth(cells)
    samples = [build_pyramid(part, shape, **options) for part in parts]
    if spec.get("patch_shrinks_to_smallest_sample"):
        smallest = [min(len(p.levels[i]) for p in samples) for i in range(shape.levels)]
        options["patch_sizes"] = [min(shape.patch_size, n) for n in smallest]
        samples = [build_pyramid(part, shape, **options) for part in parts]
    return samples, join_pyramids(samples)


@dataclass(frozen=True)
class Prepared:
    model: Segmentation
    features: Tensor
    pyramid: Pyramid
    image: ImageFeatures | None

    def double(self) -> Prepared:
        image = None if self.image is None else ImageFeatures(self.image.tokens.double(), self.image.lift)
        return Prepared(self.model.double(), self.features.double(), self.pyramid, image)

    def logits(self) -> Tensor:
        result: Tensor = self.model(self.features, self.pyramid, self.image)
        return result


def pointwise_image(x2d: NDArray[np.floating], samples: list[Pyramid]) -> ImageFeatures:
    """Image features given per point: each point is its own token."""
    sizes = [len(sample.levels[0]) for sample in samples]
    lifts = [build_lift_pyramid(torch.arange(n), n, p) for n, p in zip(sizes, samples, strict=True)]
    return ImageFeatures(torch.from_numpy(np.asarray(x2d, dtype=np.float32)), join_lift_pyramids(lifts))


def x2d_of(case: GoldenCase) -> NDArray[np.float32] | None:
    if case.spec["network"] != "ditr":
        return None
    stored = case.arrays.get("in.image_feat_f16")
    if stored is not None:
        return stored.astype(np.float32)
    return case.made_inputs()["image_feat"]


def prepare(case: GoldenCase) -> Prepared:
    arrays, spec = case.arrays, case.spec
    permutations = arrays[spec["permutations"]] if spec.get("permutations") else None
    samples, pyramid = pyramid_of(arrays["in.grid_coord"], arrays["in.offset"], spec, permutations)
    x2d = x2d_of(case)
    image = None if x2d is None else pointwise_image(x2d, samples)
    return Prepared(filled_model(case), torch.from_numpy(arrays["in.feat"]), pyramid, image)


_ENCODER_PREFIX = "img_enc.vit."


def known_encoder(case: GoldenCase, keys: str = "keys") -> ImageEncoder | None:
    """The case's encoder, filled by rule; None where it is not built yet."""
    config = case.spec["encoder_config"]
    if "pos_embed_grid" not in config:
        return None
    described = Architecture(
        width=config["width"],
        depth=config["depth"],
        heads=config["heads"],
        mlp_ratio=config["mlp_ratio"],
        patch_size=config["patch_size"],
        table=config["pos_embed_grid"][0],
    )
    timm_name = case.spec["encoder"].split()[0]
    if described not in SIZES.values():
        return None
    tensors = {
        key.removeprefix(_ENCODER_PREFIX): torch.from_numpy(fill_value(key, shape))
        for key, shape in case.shapes(keys).items()
    }
    return ImageEncoder(from_timm(timm_name, tensors, origin="filled by rule"))
