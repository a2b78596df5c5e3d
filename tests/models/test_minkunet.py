"""MinkUNet: a sample's result is its own, follows its voxels, and knows its dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from golden import error
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import NETWORK
from torch import Tensor, nn

from ditr.geometry.curves import Curve
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.pyramid import PyramidSpec, build_pyramid
from ditr.models.minkunet import MinkUNet, MinkUNetConfig
from ditr.models.minkunet_names import MinkUNetNames
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import Condition, DatasetNorms
from ditr.nn.sparse_conv import InverseConv, StridedConv, SubmanifoldConv
from ditr.weights.names import published_name

PLAIN = MinkUNetConfig(
    stem_channels=8,
    encoder_depths=(1, 2, 1),
    encoder_channels=(8, 16, 24),
    decoder_depths=(2, 1, 1),
    decoder_channels=(12, 16, 16),
)
DATASETS = DatasetNorms(("scans", "streets"))
ADAPTIVE = DatasetNorms(("scans", "streets"), context_width=5, adaptive=True)
CONFIGS = {"plain": PLAIN, "norms per dataset": replace(PLAIN, norms=DATASETS)}


def make_model(config: MinkUNetConfig) -> MinkUNet:
    """Random weights and random statistics, as after some training."""
    torch.manual_seed(0)
    model = MinkUNet(config)
    for part in model.modules():
        if isinstance(part, (nn.Linear, SubmanifoldConv)):
            nn.init.normal_(part.weight, 0, 0.1)
        if isinstance(part, nn.BatchNorm1d):
            nn.init.normal_(part.running_mean, 0, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model.eval()


@pytest.fixture(scope="module")
def models() -> dict[str, MinkUNet]:
    return {name: make_model(config) for name, config in CONFIGS.items()}


def features_of(grid: Tensor, seed: int = 0) -> Tensor:
    return torch.randn(len(grid), 6, generator=torch.Generator().manual_seed(seed))


def run(model: MinkUNet, grids: list[Tensor], features: list[Tensor], condition: Condition | None = None) -> Tensor:
    if condition is None and model.config.norms is not None:
        condition = Condition(1)
    pyramid = join_pyramids([build_pyramid(grid, model.config.pyramid) for grid in grids])
    out: Tensor = model(torch.cat(features), pyramid, None, condition)
    return out


def blob(n: int, high: int, seed: int) -> Tensor:
    """About ``n`` different cells of a cube, in random order."""
    rng = np.random.default_rng(seed)
    cells = np.unique(rng.integers(0, high, (n, 3)), axis=0)
    return torch.from_numpy(rng.permutation(cells))


far_apart = torch.tensor([[65535, 0, 65535], [0, 65535, 0]])
clouds = st.one_of(
    st.sampled_from([torch.tensor([[7, 0, 3]]), far_apart]),
    st.builds(blob, st.integers(1, 300), st.sampled_from([3, 10, 1000]), st.integers(0, 1000)),
)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=20)
@given(parts=st.lists(clouds, min_size=2, max_size=4))
def test_a_sample_does_not_feel_its_batch_mates(name: str, parts: list[Tensor], models: dict[str, MinkUNet]) -> None:
    features = [features_of(grid, seed) for seed, grid in enumerate(parts)]
    with torch.no_grad():
        together = run(models[name], parts, features).split([len(grid) for grid in parts])
        for grid, own, found in zip(parts, features, together, strict=True):
            assert torch.isfinite(found).all()
            assert error(found, run(models[name], [grid], [own])) <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=20)
@given(grid=clouds, seed=st.integers(0, 100))
def test_features_follow_the_order_of_the_voxels(
    name: str, grid: Tensor, seed: int, models: dict[str, MinkUNet]
) -> None:
    features = features_of(grid, seed)
    order = torch.randperm(len(grid), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected = run(models[name], [grid], [features])[order]
        assert error(run(models[name], [grid[order]], [features[order]]), expected) <= 1e-5


def test_one_scene_gives_the_same_bits_again(models: dict[str, MinkUNet]) -> None:
    grid = blob(2000, 20, 0)
    with torch.no_grad():
        first, second = (run(models["plain"], [grid], [features_of(grid)]) for _ in range(2))
    assert torch.equal(first, second)


def test_repeated_voxels_reach_the_coarser_levels() -> None:
    """Two mixed scenes: voxels of one cell are summed below, and each of them gets an answer of its own."""
    model = make_model(PLAIN)
    grid = torch.cat([blob(100, 6, 0), blob(100, 6, 1)])
    features = features_of(grid)
    pyramid = build_pyramid(grid, PLAIN.pyramid)
    assert pyramid.levels[0].first_row is not None
    twins = (grid[:, None] == grid[None]).all(dim=2).tril(-1)
    second, first = twins.nonzero()[0].tolist()
    changed = features.clone()
    changed[second] += 1
    with torch.no_grad():
        assert not torch.equal(model.encode(changed, pyramid)[1], model.encode(features, pyramid)[1])
        out = model(features, pyramid)
    assert torch.isfinite(out).all()
    assert not torch.equal(out[first], out[second])


def test_encoder_and_decoder_make_the_network(models: dict[str, MinkUNet]) -> None:
    model, grid = models["plain"], blob(200, 9, 0)
    pyramid = build_pyramid(grid, PLAIN.pyramid)
    with torch.no_grad():
        skips = model.encode(features_of(grid), pyramid)
        kept = [skip.clone() for skip in skips]
        assert torch.equal(model.decode(skips, pyramid), model(features_of(grid), pyramid))
    assert [skip.shape for skip in skips] == [
        (len(level), channels) for level, channels in zip(pyramid.levels, (8, 8, 16, 24), strict=True)
    ]
    assert model.bottleneck_channels == 24 and model.out_channels == 12
    for skip, before in zip(skips, kept, strict=True):
        assert torch.equal(skip, before), "the decoder leaves what it is given as it was"


@pytest.mark.parametrize("norms", [None, DATASETS, ADAPTIVE], ids=["shared", "per dataset", "adaptive"])
def test_training_reaches_every_parameter(norms: DatasetNorms | None) -> None:
    """With a mixed pair of scenes, some of whose cells coincide; norms of the other dataset stay as they were."""
    model = make_model(replace(PLAIN, norms=norms)).train()
    grids = [torch.cat([blob(150, 8, 0), blob(150, 8, 1)]), blob(100, 8, 2)]
    out = run(model, grids, [features_of(grid) for grid in grids], Condition(1, torch.ones(5)))
    (out**2).mean().backward()
    for name, parameter in model.named_parameters():
        if ".norm.0." in name:
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_eval_and_training_mode_agree_where_statistics_do() -> None:
    """What is done in place without gradients is the same function as with them."""
    model, grid = make_model(PLAIN), blob(300, 9, 0)
    with torch.no_grad():
        expected = run(model, [grid], [features_of(grid)])
    found = run(model, [grid], [features_of(grid).requires_grad_()])
    assert error(found.detach(), expected) <= 1e-5


def test_datasets_have_norms_of_their_own(models: dict[str, MinkUNet]) -> None:
    model, grid = models["norms per dataset"], blob(200, 9, 0)
    with torch.no_grad():
        one, other = (run(model, [grid], [features_of(grid)], Condition(index)) for index in (0, 1))
        assert error(one, other) > 1e-3
        with pytest.raises(ValueError, match="name the dataset"):
            model(features_of(grid), build_pyramid(grid, model.config.pyramid))


@pytest.mark.parametrize(
    ("config", "parameters", "entries"),
    [
        (MinkUNetConfig(), 39_157_844 - 97 * 20, 354),
        (MinkUNetConfig(norms=DatasetNorms(("a", "b", "c"))), 39_190_208, 944),
    ],
)
def test_default_sizes(config: MinkUNetConfig, parameters: int, entries: int) -> None:
    """The published counts, without the classifier."""
    with torch.device("meta"):
        network = MinkUNet(config)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == entries
    assert (network.out_channels, network.bottleneck_channels) == (96, 256)
    assert config.pyramid == PyramidSpec(levels=5, curves=(Curve.Z,), stem_kernel=5, kernel=3)


def test_weights_begin_as_published() -> None:
    torch.manual_seed(0)
    for module in MinkUNet(MinkUNetConfig(encoder_depths=(1, 1, 1, 1), decoder_depths=(1, 1, 1, 1))).modules():
        if isinstance(module, (SubmanifoldConv, nn.Linear)):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
        elif isinstance(module, (StridedConv, InverseConv)):
            bound = (module.weight.shape[0] * module.weight.shape[1]) ** -0.5
            assert bound * 0.99 <= float(module.weight.detach().abs().max()) <= bound
        elif isinstance(module, nn.BatchNorm1d):
            assert (module.weight == 1).all() and (module.bias == 0).all()
            assert (module.eps, module.momentum) == (1e-3, 0.01)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"encoder_depths": (1, 1)}, "one length"),
        ({"decoder_channels": (8, 8)}, "one length"),
        ({"decoder_depths": (1, 1, 1, 1)}, "one length"),
        (dict.fromkeys(["encoder_depths", "encoder_channels", "decoder_depths", "decoder_channels"], ()), "one stage"),
        ({"kernel": 4}, "kernels of"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **fault)


def test_inputs_that_do_not_belong_together_are_refused(models: dict[str, MinkUNet]) -> None:
    model, grid = models["plain"], blob(50, 6, 0)
    features, pyramid = features_of(grid), build_pyramid(grid, PLAIN.pyramid)
    for wrong in (features[1:], features[:, :4]):
        with pytest.raises(ValueError, match="features of shape"):
            model(wrong, pyramid)
    with pytest.raises(ValueError, match="3 levels for a network of 4"):
        model(features, build_pyramid(grid, PyramidSpec(levels=3)))


def state_of(norms: DatasetNorms | None) -> dict[str, Tensor]:
    backbone = MinkUNet(replace(PLAIN, norms=norms))
    return nn.ModuleDict({"backbone": backbone, "head": nn.Linear(backbone.out_channels, 5)}).state_dict()


@pytest.mark.parametrize("norms", [None, DATASETS])
def test_published_layouts_go_round_bit_for_bit(norms: DatasetNorms | None) -> None:
    state = state_of(norms)
    config = MinkUNetConfig(norms=norms)
    layout = config.published_names()
    names = {published_name(name, config) for name in state}
    assert len(names) == len(state), "no two of our names become one"
    for name, value in state.items():
        published = layout.to_layout(name, value)
        returned = layout.from_layout(name, published.contiguous())
        assert torch.equal(returned, value), name
        again = layout.to_layout(name, returned)
        assert again.contiguous().numpy().tobytes() == published.contiguous().numpy().tobytes()


def test_pointwise_weights_are_read_as_the_published_code_reads_them() -> None:
    """Memory of (out, 1, 1, 1, in) as (in, out), without a transposition."""
    for name in ("head.weight", "backbone.decoder.0.blocks.0.shortcut.linear.weight"):
        published = torch.randn(4, 1, 1, 1, 6)
        features = torch.randn(3, 6)
        linear = MinkUNetNames(per_dataset=False).from_layout(name, published)
        torch.testing.assert_close(nn.functional.linear(features, linear), features @ published.view(6, 4))


def test_convolution_layouts() -> None:
    """Published (out, x, y, z, in); ours (offset with x slowest, in, out)."""
    ours = torch.randn(8, 3, 4)
    theirs = MinkUNetNames(per_dataset=False).to_layout("backbone.encoder.0.down.conv.weight", ours)
    for x, y, z in ((0, 0, 0), (1, 0, 1), (0, 1, 0)):
        assert torch.equal(theirs[:, x, y, z, :], ours[4 * x + 2 * y + z].T)


@pytest.mark.parametrize(
    ("ours", "shared", "per_dataset"),
    [
        ("stem.conv.weight", "conv_input.0.weight", "conv_input.conv.weight"),
        ("encoder.1.down.conv.weight", "down.1.0.weight", "down.1.conv.weight"),
        ("decoder.3.up.conv.weight", "up.3.0.weight", "up.3.conv.weight"),
        ("encoder.2.blocks.3.conv2.weight", "enc.2.block3.conv2.weight", "enc.2.block3.conv2.weight"),
        (
            "decoder.0.blocks.0.shortcut.linear.weight",
            "dec.0.block0.proj.0.weight",
            "dec.0.block0.proj_conv.weight",
        ),
        ("stem.norm.bias", "conv_input.1.bias", None),
        ("decoder.1.up.norm.running_var", "up.1.1.running_var", None),
        ("encoder.0.blocks.1.norm1.weight", "enc.0.block1.bn1.weight", None),
        ("stem.norm.norm.2.bias", None, "conv_input.bn.bns.2.bias"),
        ("encoder.0.down.norm.norm.0.weight", None, "down.0.bn.bns.0.weight"),
        ("encoder.0.blocks.1.norm2.norm.1.running_mean", None, "enc.0.block1.bn2.bns.1.running_mean"),
        ("decoder.0.blocks.0.shortcut.norm.norm.0.weight", None, "dec.0.block0.proj_norm.bns.0.weight"),
        ("encoder.0.blocks.0.gate.weight", None, None),
        ("encoder.0.blocks.0.conv1.norm.0.weight", None, None),
        ("stem.norm.modulation.1.weight", None, None),
    ],
)
def test_published_names(ours: str, shared: str | None, per_dataset: str | None) -> None:
    for expected, flag in ((shared, False), (per_dataset, True)):
        if expected is not None:
            assert MinkUNetNames(per_dataset=flag).name(f"backbone.{ours}") == f"backbone.{expected}"
        else:
            with pytest.raises(KeyError, match="no published MinkUNet"):
                MinkUNetNames(per_dataset=flag).name(f"backbone.{ours}")


def test_the_classifier_is_the_published_final_layer() -> None:
    assert published_name("head.weight", MinkUNetConfig()) == "backbone.final.weight"
    assert published_name("head.bias", MinkUNetConfig(norms=DATASETS)) == "backbone.final.bias"


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_head_begins_as_published(config: MinkUNetConfig) -> None:
    """The published head is a convolution of the network, and begins like these; the backbone's draws come first."""
    torch.manual_seed(3)
    model = Segmentation(replace(config, decoder_channels=(96, 16, 16)), 200)
    torch.manual_seed(3)
    alone = MinkUNet(replace(config, decoder_channels=(96, 16, 16)))
    assert all(torch.equal(value, model.backbone.state_dict()[name]) for name, value in alone.state_dict().items())
    assert float(model.head.weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert not model.head.bias.detach().any()


def test_other_heads_and_draws_are_as_before() -> None:
    torch.manual_seed(3)
    model, after = Segmentation(NETWORK, 5), torch.rand(3)
    torch.manual_seed(3)
    backbone = NETWORK.build()
    head = nn.Linear(backbone.out_channels, 5)
    assert torch.equal(model.head.weight, head.weight) and torch.equal(model.head.bias, head.bias)
    assert torch.equal(after, torch.rand(3)), "nothing more was drawn"
