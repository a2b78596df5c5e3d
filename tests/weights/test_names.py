"""Published checkpoints to our state dict and back: every name, every layout, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from golden import BUNDLED, golden_cases
from published import config_of
from torch import Tensor

from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.weights.names import from_published, published_name, to_published

SMALL = PTv3Config(
    encoder_depths=(1, 2),
    encoder_channels=(8, 16),
    encoder_heads=(1, 2),
    decoder_depths=(1,),
    decoder_channels=(8,),
    decoder_heads=(2,),
    image_width=5,
    missing_embedding=True,
)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def on_meta(config: PTv3Config, classes: int) -> Segmentation:
    """A network without values: names and shapes cost nothing."""
    with torch.device("meta"):
        return Segmentation(config, classes)


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def block_shapes(prefix: str, c: int) -> dict[str, tuple[int, ...]]:
    result: dict[str, tuple[int, ...]] = {f"{prefix}.cpe.0.weight": (c, 3, 3, 3, c), f"{prefix}.cpe.0.bias": (c,)}
    for name, outputs, inputs in (
        ("cpe.1", c, c),
        ("attn.qkv", 3 * c, c),
        ("attn.proj", c, c),
        ("mlp.0.fc1", 4 * c, c),
        ("mlp.0.fc2", c, 4 * c),
    ):
        result |= {f"{prefix}.{name}.weight": (outputs, inputs), f"{prefix}.{name}.bias": (outputs,)}
    for name in ("cpe.2", "norm1.0", "norm2.0"):
        result |= {f"{prefix}.{name}.weight": (c,), f"{prefix}.{name}.bias": (c,)}
    return result


def projection_shapes(linear: str, norm: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    result: dict[str, tuple[int, ...]] = {f"{linear}.weight": (outputs, inputs), f"{linear}.bias": (outputs,)}
    return result | norm_shapes(norm, outputs)


def norm_shapes(norm: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{norm}.{name}": () if name == "num_batches_tracked" else (channels,) for name in NORM}


def published_shapes(in_channels: int, classes: int, image_width: int | None) -> dict[str, tuple[int, ...]]:
    """The table of published names and shapes, for the published sizes."""
    encoder, decoder = (32, 64, 128, 256, 512), (64, 64, 128, 256)
    result: dict[str, tuple[int, ...]] = {"embedding.stem.conv.weight": (32, 5, 5, 5, in_channels)}
    result |= norm_shapes("embedding.stem.norm", 32)
    for stage, depth in enumerate((2, 2, 2, 6, 2)):
        prefix = f"enc.enc{stage}"
        if stage:
            result |= projection_shapes(
                f"{prefix}.down.proj", f"{prefix}.down.norm.0", encoder[stage - 1], encoder[stage]
            )
        for block in range(depth):
            result |= block_shapes(f"{prefix}.block{block}", encoder[stage])
    for stage, channels in enumerate(decoder):
        prefix = f"dec.dec{stage}"
        below = (*decoder, encoder[4])[stage + 1]
        result |= projection_shapes(f"{prefix}.up.proj.0", f"{prefix}.up.proj.1", below, channels)
        result |= projection_shapes(f"{prefix}.up.proj_skip.0", f"{prefix}.up.proj_skip.1", encoder[stage], channels)
        if image_width is not None:
            image = f"{prefix}.up.proj_image_feat"
            result |= projection_shapes(f"{image}.1", f"{image}.2", image_width, channels)
        for block in range(2):
            result |= block_shapes(f"{prefix}.block{block}", channels)
    head: dict[str, tuple[int, ...]] = {"seg_head.weight": (classes, 64), "seg_head.bias": (classes,)}
    return head | {f"backbone.{name}": shape for name, shape in result.items()}


@pytest.mark.parametrize(
    ("in_channels", "classes", "image_width"), [(6, 200, None), (4, 16, None), (6, 20, 1024), (4, 19, 1536)]
)
def test_default_sizes_have_the_published_names_and_shapes(
    in_channels: int, classes: int, image_width: int | None
) -> None:
    state = on_meta(PTv3Config(in_channels=in_channels, image_width=image_width), classes).state_dict()
    published = to_published(state, SMALL)
    assert len(published) == len(state), "no two of our names become one"
    assert shapes(published) == published_shapes(in_channels, classes, image_width)


def test_learned_embedding_has_its_published_name() -> None:
    extra = (
        to_published(on_meta(SMALL, 3).state_dict(), SMALL).keys()
        - to_published(on_meta(replace(SMALL, missing_embedding=False), 3).state_dict(), SMALL).keys()
    )
    assert extra == {"backbone.missing_feature_embedding"}


def random_state(wanted: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randint(1000, shape, generator=generator)
        if name.endswith("num_batches_tracked")
        else torch.randn(shape, generator=generator)
        for name, shape in wanted.items()
    }


@pytest.mark.parametrize("case", golden_cases(BUNDLED), ids=lambda case: case.name)
def test_published_state_goes_round_bit_for_bit(case) -> None:  # type: ignore[no-untyped-def]
    """With the stored list of published names, through a real network."""
    published = random_state(case.shapes())
    model = Segmentation(config_of(case.spec), case.spec["num_classes"])
    model.load_state_dict(from_published(published, model.state_dict(), model.backbone.config), strict=True)
    returned = to_published(model.state_dict(), model.backbone.config)
    assert returned.keys() == published.keys()
    for name, value in published.items():
        assert returned[name].dtype == value.dtype
        assert torch.equal(returned[name], value), name


def test_our_state_goes_round_bit_for_bit() -> None:
    state = Segmentation(SMALL, 3).state_dict()
    returned = from_published(to_published(state, SMALL), state, SMALL)
    assert returned.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(returned[name], value), name
        assert returned[name].is_contiguous()


def test_convolution_layouts() -> None:
    """Published (out, x, y, z, in); ours (offset with x slowest, in, out)."""
    state = Segmentation(SMALL, 3).state_dict()
    ours = state["backbone.stem.conv.weight"]
    theirs = to_published(state, SMALL)["backbone.embedding.stem.conv.weight"]
    for x, y, z in ((0, 0, 0), (4, 0, 2), (1, 2, 3)):
        assert torch.equal(theirs[:, x, y, z, :], ours[25 * x + 5 * y + z].T)


def test_some_names() -> None:
    for ours, theirs in (
        ("backbone.encoder.3.blocks.5.position.conv.weight", "backbone.enc.enc3.block5.cpe.0.weight"),
        ("backbone.decoder.0.blocks.1.mlp.2.bias", "backbone.dec.dec0.block1.mlp.0.fc2.bias"),
        ("backbone.decoder.2.fusion.image.norm.running_var", "backbone.dec.dec2.up.proj_image_feat.2.running_var"),
        ("backbone.encoder.1.pool.norm.weight", "backbone.enc.enc1.down.norm.0.weight"),
        ("head.bias", "seg_head.bias"),
    ):
        assert published_name(ours, SMALL) == theirs


@pytest.mark.parametrize(
    "name", ["stem.conv.weight", "backbone.encoder.0.blocks.0.gate.weight", "backbone.missing_embedding.weight", "x"]
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(KeyError, match="no published network"):
        published_name(name, SMALL)


def test_missing_and_unexpected_entries_are_named() -> None:
    model = Segmentation(SMALL, 3)
    published = to_published(model.state_dict(), model.backbone.config)
    bias = published.pop("seg_head.bias")
    with pytest.raises(KeyError, match=r"lacks \[seg_head.bias\] and has \[\]"):
        from_published(published, model.state_dict(), model.backbone.config)
    with pytest.raises(KeyError, match=r"lacks \[\] and has \[backbone.extra\]"):
        from_published(published | {"seg_head.bias": bias, "backbone.extra": bias}, model.state_dict(), SMALL)


@pytest.mark.parametrize("name", ["seg_head.weight", "backbone.embedding.stem.conv.weight"])
def test_other_shapes_are_refused_by_name(name: str) -> None:
    model = Segmentation(SMALL, 3)
    published = to_published(model.state_dict(), model.backbone.config)
    published[name] = published[name].flatten()
    with pytest.raises(ValueError, match=f"{name} has the shape"):
        from_published(published, model.state_dict(), model.backbone.config)
