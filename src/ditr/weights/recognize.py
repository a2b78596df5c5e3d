"""What model a published checkpoint holds, from the names and shapes of its tensors."""

from __future__ import annotations

from dataclasses import dataclass

from ditr.errors import few
from ditr.models.backbone import NetworkConfig, recognize_backbone, titles
from ditr.models.distillation import Student
from ditr.models.published_names import PublishedNames, Shapes, Unseen, shape_of

__all__ = ["Recognized", "recognize"]


@dataclass(frozen=True)
class Recognized:
    """A network and what stands on it: ``classes`` of a segmentation head, or the heads of a ``student``."""

    network: NetworkConfig
    classes: int | None
    student: Student | None


def recognize(
    shapes: Shapes, *, datasets: tuple[str, ...] = (), patch_size: int | None = None, pre_norm: bool = True
) -> Recognized:
    """The model behind the names and shapes of a published state dict.

    Args:
        shapes: by published name, without the prefix ``module.``.
        datasets: see :class:`ditr.models.published_names.Unseen`, as for the next two.
        patch_size: points that attend to each other.
        pre_norm: whether norms stand before attention and MLP.

    Raises:
        NormsUnnamed, PatchUnknown: what neither the checkpoint nor the arguments tell.
        ValueError: another architecture, or parts that do not belong together.
    """
    network = recognize_backbone(shapes, Unseen(datasets, patch_size, pre_norm))
    names = None if network is None else network.published_names()
    if network is None or names is None:
        held = few(sorted(shapes), 3) or "no tensors"
        raise ValueError(f"neither a {' nor a '.join(titles())} of the published code (it has {held})")
    _ = network.pyramid  # which refuses sizes that there is no geometry for
    classes, student = _heads(shapes, names)
    if (classes is None) == (student is None):
        raise ValueError("a model has either a segmentation head (seg_head, final) or a projection (proj)")
    return Recognized(network, classes, student)


def _heads(shapes: Shapes, names: PublishedNames) -> tuple[int | None, Student | None]:
    head = f"{names.head}weight"
    classes = shape_of(shapes, head, names.head_dimensions)[0] if head in shapes else None
    per_dataset = "proj.0.weight" in shapes
    projection = "proj.0.weight" if per_dataset else "proj.weight"
    if projection not in shapes:
        return classes, None
    width = shape_of(shapes, projection, 2)[0]
    tokens = 0
    if "proj_cls_token.weight" in shapes:
        tokens, rest = divmod(shape_of(shapes, "proj_cls_token.weight", 2)[0], width)
        if rest:
            raise ValueError(f"proj_cls_token does not give a whole number of tokens of {width} channels")
    return classes, Student(width, per_dataset, tokens)
