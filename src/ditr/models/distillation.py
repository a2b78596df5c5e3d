"""D-DITR: a 3D network learns to predict the image features of the points that some view sees (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ditr.geometry.pyramid import Pyramid
from ditr.models.backbone import NetworkConfig, build_backbone
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import Conditions
from ditr.nn.products import Linear

__all__ = ["Distillation", "Distilled", "Student", "Whitening", "load_backbone"]


@dataclass(frozen=True)
class Student:
    """The heads of a distillation model.

    Attributes:
        width: D of the teacher's features.
        head_per_dataset: whether every dataset of the network's norms has a head of its own.
        cls_tokens: T, how many views' [cls] tokens are predicted from the bottleneck; 0 for none, as in all published
            runs.
        whiten: see :class:`Whitening`; 0 for the teacher's features as they are, as in all published runs.
    """

    width: int
    head_per_dataset: bool = False
    cls_tokens: int = 0
    whiten: int = 0

    def __post_init__(self) -> None:
        if self.width < 1 or self.cls_tokens < 0:
            raise ValueError(f"a student of {self.cls_tokens} [cls] tokens of {self.width} channels")
        if not 0 <= self.whiten <= self.width:
            raise ValueError(f"{self.whiten} directions of {self.width} channels cannot be whitened")


class Whitening(nn.Module):
    """The teacher's features without their mean, the variance along each of their principal directions brought to 1.

    Where a few directions have nearly all the variance, as floor against wall has, a student that the cosine alone
    teaches learns these and no others for long: its own features collapse onto them, and fine-tuning begins there. (Of
    whitened targets: Wei et al., "Contrastive Learning Rivals Masked Image Modeling in Fine-tuning via Feature
    Distillation", 2022. The paper does without.)

    Args:
        width: D of the features.
        directions: how many of the principal directions are kept, the largest first; what is left is taken for noise.
    """

    def __init__(self, width: int, directions: int) -> None:
        super().__init__()
        self.directions = directions
        self.mean: Tensor
        self.matrix: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("matrix", torch.eye(width))

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, D), in the axes of the features, float32 at least, within autocast too."""
        with torch.autocast(features.device.type, enabled=False):
            return (features.to(torch.promote_types(features.dtype, torch.float32)) - self.mean) @ self.matrix

    @torch.no_grad()
    def learn(self, count: Tensor, total: Tensor, products: Tensor) -> None:
        """From the moments of many features, in float64.

        Args:
            count: () how many there were.
            total: (D,) their sum.
            products: (D, D) the sum of their products with themselves.
        """
        mean = total / count
        variance, axes = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        variance, axes = variance[-self.directions :], axes[:, -self.directions :]
        # Directions in which nothing varies have nothing to learn, and no small number to divide by.
        scale = torch.where(variance > 1e-6 * variance[-1], variance, torch.inf).rsqrt()
        self.mean.copy_(mean)
        self.matrix.copy_((axes * scale) @ axes.T)


@dataclass(frozen=True, eq=False)
class Distilled:
    """What the student says of M voxels of B samples.

    Attributes:
        features: (M, C) of the backbone.
        prediction: (M, D) of the teacher's features, as :meth:`Distillation.target` gives them.
        cls: (B, T, D) of the teacher's [cls] tokens, views in their order; None without that head.
    """

    features: Tensor
    prediction: Tensor
    cls: Tensor | None = None


class Distillation(nn.Module):
    """A backbone that sees no images, and a linear head to the teacher's width.

    Args:
        config: of the backbone.
        student: its heads.
        dataset: whose norms and head serve batches that name no dataset, where these exist per dataset.

    Raises:
        ValueError: a backbone that takes images, or heads per dataset without datasets.
    """

    def __init__(self, config: NetworkConfig, student: Student, dataset: str | None = None) -> None:
        super().__init__()
        if config.image_width is not None:
            raise ValueError("a student sees no images: its network has no image_width")
        self.student = student
        self.dataset = dataset
        self.conditions = Conditions(config.norms)
        self.backbone = build_backbone(config)
        channels = self.backbone.out_channels
        self.projection: nn.Linear | nn.ModuleList
        if student.head_per_dataset:
            if config.norms is None:
                raise ValueError("heads per dataset need a network whose norms name the datasets")
            self.projection = nn.ModuleList(Linear(channels, student.width) for _ in config.norms.datasets)
        else:
            self.projection = Linear(channels, student.width)
        self.whitening = Whitening(student.width, student.whiten) if student.whiten else None
        self.cls_projection: nn.Linear | None = None
        if student.cls_tokens:
            width = student.cls_tokens * student.width
            self.cls_projection = Linear(self.backbone.bottleneck_channels, width)

    def forward(self, features: Tensor, pyramid: Pyramid, dataset: str | None = None) -> Distilled:
        """(M, in_channels) features of voxels -> what the student predicts.

        Raises:
            ValueError: inputs that do not belong together or not to this network, or a dataset that it does not know.
        """
        condition = self.conditions(dataset or self.dataset)
        skips = self.backbone.encode(features, pyramid, None, condition)
        x = self.backbone.decode(skips, pyramid, None, condition)
        head = self.projection
        if isinstance(head, nn.ModuleList):
            assert condition is not None
            prediction: Tensor = head[condition.index](x)
        else:
            prediction = head(x)
        return Distilled(x, prediction, self._cls(skips[-1], pyramid))

    def target(self, features: Tensor) -> Tensor:
        """(N, D) features of the teacher -> what the student predicts of them."""
        if self.whitening is None:
            return features
        whitened: Tensor = self.whitening(features)
        return whitened

    def _cls(self, bottleneck: Tensor, pyramid: Pyramid) -> Tensor | None:
        """The mean of the bottleneck over each sample, projected: (B, T, D)."""
        if self.cls_projection is None:
            return None
        ends = pyramid.levels[-1].offsets
        means = [bottleneck[start:stop].mean(dim=0) for start, stop in pairwise(ends)]
        projected: Tensor = self.cls_projection(torch.stack(means))
        return projected.view(len(means), self.student.cls_tokens, self.student.width)

    def to_segmentation(self, classes: int, dataset: str | None = None) -> Segmentation:
        """The same backbone, weights copied, under a fresh segmentation head."""
        segmentation = Segmentation(self.backbone.config, classes, dataset or self.dataset)
        load_backbone(segmentation, self.state_dict())
        return segmentation


_HEADS = ("head.", "projection.", "cls_projection.", "whitening.")


def load_backbone(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Start ``model`` from a trained one: everything but the heads has to fit.

    Args:
        model: a :class:`Segmentation` or :class:`Distillation`; its heads keep their values.
        state: the trained model's state dict, under our names.

    Raises:
        ValueError: parameters missing, left over or of another shape; all are named.
    """
    given = {name: value for name, value in state.items() if not name.startswith(_HEADS)}
    own = {name: value for name, value in model.state_dict().items() if not name.startswith(_HEADS)}
    faults = [f"{name} is missing" for name in own.keys() - given.keys()]
    faults += [f"{name} is left over" for name in given.keys() - own.keys()]
    faults += [
        f"{name} is {tuple(given[name].shape)} and not {tuple(own[name].shape)}"
        for name in own.keys() & given.keys()
        if own[name].shape != given[name].shape
    ]
    if faults:
        raise ValueError("the trained weights do not fit: " + "; ".join(sorted(faults)))
    model.load_state_dict(given, strict=False)
