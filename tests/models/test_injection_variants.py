"""The places where image features can join the network (paper, Table 5): each does what it says, in batches too."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import error
from hypothesis import given, settings
from hypothesis import strategies as st
from random_statistics import with_statistics
from small_world import tiny_config, tiny_encoding
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.lift_pyramid import build_lift_pyramid, join_lift_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid
from ditr.io.settings_json import from_plain, to_json_values
from ditr.models.injection import Injection
from ditr.models.ptv3 import PTv3, PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.attention import PatchAttention, SampleTokens
from ditr.nn.image_features import ImageFeatures
from ditr.weights.contract import check_contract
from ditr.weights.names import from_published, to_published
from ditr.weights.recognize import recognize
from ditr.weights.saved_model import load_model, save_model

WIDTH, CLASSES = 12, 5
PTV3 = PTv3Config(
    encoder_depths=(1, 2, 1),
    encoder_channels=(16, 16, 32),
    encoder_heads=(1, 2, 4),
    decoder_depths=(1, 2),
    decoder_channels=(16, 32),
    decoder_heads=(1, 2),
    patch_size=16,
    injection=Injection.NONE,
)
IMAGES = [injection for injection in Injection if injection is not Injection.NONE]
CONFIGS = {injection.value: replace(PTV3, image_width=WIDTH, injection=injection) for injection in IMAGES}
CONFIGS["cls with positions and half precision"] = replace(CONFIGS["cls"], position_bound=3, half_attention=True)
CONFIGS["after with a learned embedding"] = replace(CONFIGS["after"], missing_embedding=True)


def make_model(config: PTv3Config) -> Segmentation:
    """Random weights and random statistics, as after some training."""
    torch.manual_seed(0)
    return with_statistics(Segmentation(config, CLASSES))


@pytest.fixture(scope="module")
def models() -> dict[str, Segmentation]:
    return {name: make_model(config) for name, config in CONFIGS.items()}


class Part:
    """A sample of about ``cells`` cells and ``views`` views, with random features and tokens."""

    def __init__(self, cells: int, views: int, seed: int) -> None:
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        grid = torch.from_numpy(rng.permutation(np.unique(rng.integers(0, 9, (cells, 3)), axis=0)))
        self.pyramid = build_pyramid(grid, PTV3.pyramid)
        self.features = torch.randn(len(grid), 6, generator=generator)
        self.tokens = torch.randn(9 * views, WIDTH, generator=generator)
        self.cls = torch.randn(views, WIDTH, generator=generator)
        self.lift = build_lift_pyramid(
            torch.randint(-1, 9 * views, (len(grid),), generator=generator), 9 * views, self.pyramid
        )


def join(parts: list[Part]) -> tuple[Tensor, Pyramid, ImageFeatures]:
    image = ImageFeatures(
        torch.cat([part.tokens for part in parts]),
        join_lift_pyramids([part.lift for part in parts]),
        torch.cat([part.cls for part in parts]),
        tuple(len(part.cls) for part in parts),
    )
    return torch.cat([part.features for part in parts]), join_pyramids([part.pyramid for part in parts]), image


def run(model: nn.Module, *parts: Part) -> Tensor:
    logits: Tensor = model(*join(list(parts)))
    return logits


parts = st.builds(Part, st.integers(1, 150), st.integers(0, 3), st.integers(0, 1000))


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=8)
@given(batch=st.lists(parts, min_size=2, max_size=4))
def test_a_sample_does_not_feel_its_batch_mates(name: str, batch: list[Part], models: dict[str, Segmentation]) -> None:
    with torch.no_grad():
        together = run(models[name], *batch).split([len(part.features) for part in batch])
        for part, logits in zip(batch, together, strict=True):
            # Half precision rounds differences of the last bit up to its own last bit.
            limit = 2e-2 if models[name].backbone.config.half_attention else 1e-5
            assert error(logits, run(models[name], part)) <= limit


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("views", [(2, 0, 1), (0, 0, 0)])
def test_training_reaches_every_parameter(config: PTv3Config, views: tuple[int, ...]) -> None:
    """Also where no sample of the batch has a view, as may happen where views are dropped."""
    model = make_model(config).train()
    logits = run(model, *(Part(120, count, number) for number, count in enumerate(views)))
    (logits**2).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert not any(views) or name.endswith("bias") or parameter.grad.any(), name


@pytest.mark.parametrize("name", CONFIGS)
def test_images_reach_the_result_and_the_encoder_only_where_they_join_before_it(
    name: str, models: dict[str, Segmentation]
) -> None:
    model, part, other = models[name], Part(150, 2, 0), Part(150, 2, 0)
    other.tokens, other.cls = other.tokens.flip(0), other.cls * 2
    with torch.no_grad():
        assert error(run(model, part), run(model, other)) > 1e-3
        skips = []
        for each in (part, other):
            features, pyramid, image = join([each])
            skips.append(model.backbone.encode(features, pyramid, image))
        same = torch.equal(skips[0][-1], skips[1][-1])
    assert same == (CONFIGS[name].injection is not Injection.ENCODER)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_parameters_of_ptv3_keep_their_names(name: str, models: dict[str, Segmentation]) -> None:
    bare = make_model(PTV3).state_dict()
    assert set(bare) <= set(models[name].state_dict())
    if CONFIGS[name].injection is Injection.DECODER:
        published = make_model(replace(PTV3, image_width=WIDTH, injection=Injection.DECODER)).state_dict()
        assert list(published) == list(models[name].state_dict())


def plain_with(model: Segmentation) -> PTv3:
    """PTv3 without images, with the weights of a variant."""
    network = PTv3(PTV3).eval()
    state = model.backbone.state_dict()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    return network


def branch_of(model: Segmentation, image: ImageFeatures) -> Tensor:
    """f_2D(X_2D) of the finest cells, by the definition: of the token that each cell sees, or of zeros."""
    token = image.lift.levels[0].token
    seen = torch.cat([image.tokens, torch.zeros(1, WIDTH)])[token]
    found: Tensor = model.backbone.image(seen)
    return found


@torch.no_grad()
def test_before_the_encoder_features_are_added_to_the_stem(models: dict[str, Segmentation]) -> None:
    model, (features, pyramid, image) = models["encoder"], join([Part(100, 2, 0)])
    network = plain_with(model)
    added = branch_of(model, image)
    network.stem.register_forward_hook(lambda _module, _inputs, out: out + added)
    torch.testing.assert_close(model.backbone(features, pyramid, image), network(features, pyramid))


@torch.no_grad()
def test_after_the_decoder_features_are_added_to_its_result(models: dict[str, Segmentation]) -> None:
    model, (features, pyramid, image) = models["after"], join([Part(100, 2, 0)])
    expected = plain_with(model)(features, pyramid) + branch_of(model, image)
    torch.testing.assert_close(model.backbone(features, pyramid, image), expected)


@torch.no_grad()
def test_between_two_networks_features_are_added_to_what_the_first_gives(models: dict[str, Segmentation]) -> None:
    model, (features, pyramid, image) = models["between"], join([Part(100, 2, 0)])
    second = model.backbone.second
    assert isinstance(second, PTv3) and second.config.in_channels == model.backbone.out_channels
    assert second.config.encoder_channels == PTV3.encoder_channels and second.config.image_width is None
    expected = second(plain_with(model)(features, pyramid) + branch_of(model, image), pyramid)
    torch.testing.assert_close(model.backbone(features, pyramid, image), expected)


@torch.no_grad()
def test_the_last_stage_alone_is_ditr_without_the_other_branches(models: dict[str, Segmentation]) -> None:
    whole = make_model(CONFIGS["decoder"])
    state = whole.state_dict()
    last = make_model(CONFIGS["last"])
    last.load_state_dict({name: state[name] for name in last.state_dict()})
    assert {name for name in state if name not in last.state_dict()} == {
        name for name in state if ".decoder.1.fusion.image." in name
    }
    whole.backbone.decoder[1].fusion.image = None
    part = Part(100, 2, 0)
    assert torch.equal(run(whole, part), run(last, part))


# ---- [cls] tokens ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [None, 2])
@settings(max_examples=25)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=4),
    longest=st.sampled_from([1, 4, 9, 64]),
)
def test_attention_with_further_tokens_is_a_softmax_over_both(
    bound: int | None, sizes: list[tuple[int, int]], longest: int
) -> None:
    torch.manual_seed(1)
    attention = PatchAttention(8, 2, position_bound=bound).double()
    spec = PyramidSpec(levels=1, patch_size=longest)
    grids = [torch.arange(n)[:, None] * torch.tensor([[0, 0, 1]]) for n, _ in sizes]
    level = join_pyramids([build_pyramid(grid, spec) for grid in grids]).levels[0]
    x = torch.randn(len(level), 8, dtype=torch.float64)
    extra = SampleTokens(torch.randn(sum(v for _, v in sizes), 8, dtype=torch.float64), tuple(v for _, v in sizes))
    found = attention(x, level, 0, extra)
    expected, views = [], 0
    for (start, stop), (_, count) in zip(pairwise(level.offsets), sizes, strict=True):
        rows = x[start:stop]
        for first in range(0, len(rows), longest):
            # A last patch that is not full reads the end of the one before it too.
            begin = max(0, min(first, len(rows) - longest))
            cells = rows[begin : first + longest]
            query, key, value = attention.qkv(torch.cat([cells, extra.rows[views : views + count]])).chunk(3, dim=1)
            heads = [part.view(len(part), 2, 4).transpose(0, 1) for part in (query, key, value)]
            bias = torch.zeros(2, len(cells), len(cells) + count, dtype=torch.float64)
            if bound is not None:
                bias[:, :, : len(cells)] = attention._position_bias(
                    level.grid[start:stop][begin : first + longest][None]
                )[0]
            scores = heads[0][:, : len(cells)] @ heads[1].transpose(1, 2) / 2 + bias
            out = (scores.softmax(dim=2) @ heads[2]).transpose(0, 1).reshape(len(cells), 8)
            expected.append(attention.proj(out[first - begin :]))
        views += count
    torch.testing.assert_close(found, torch.cat(expected))


@torch.no_grad()
def test_without_views_cls_tokens_leave_plain_ptv3(models: dict[str, Segmentation]) -> None:
    part = Part(150, 0, 0)
    features, pyramid, image = join([part])
    found = models["cls"].backbone(features, pyramid, image)
    torch.testing.assert_close(found, plain_with(models["cls"])(features, pyramid))


@torch.no_grad()
def test_the_order_of_the_views_does_not_matter_to_cls_tokens(models: dict[str, Segmentation]) -> None:
    part, other = Part(150, 3, 0), Part(150, 3, 0)
    other.cls = other.cls[[2, 0, 1]]
    assert error(run(models["cls"], part), run(models["cls"], other)) <= 1e-5


def test_cls_tokens_that_do_not_fit_are_refused(models: dict[str, Segmentation]) -> None:
    features, pyramid, image = join([Part(50, 2, 0)])
    for cls, views, fault in (
        (None, (2,), "got none"),
        (image.cls, (1,), "1,"),
        (image.cls, (1, 1), "1 samples"),
        (torch.zeros(2, WIDTH + 1), (2,), "image_width 12"),
    ):
        with pytest.raises(ValueError, match=fault):
            models["cls"](features, pyramid, ImageFeatures(image.tokens, image.lift, cls, views))
    with pytest.raises(ValueError, match="got none"):
        models["cls"](features, pyramid)


@pytest.mark.parametrize("name", ["encoder", "between", "after", "last"])
def test_a_network_that_takes_images_asks_for_them(name: str, models: dict[str, Segmentation]) -> None:
    features, pyramid, _ = join([Part(50, 2, 0)])
    with pytest.raises(ValueError, match="takes image features"):
        models[name](features, pyramid)


# ---- configs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"injection": Injection.NONE}, "takes no images"),
        ({"injection": Injection.CLS, "missing_embedding": True}, "belong to no point"),
        ({"injection": Injection.CLS, "image_drop": 0.1}, "belong to no point"),
    ],
)
def test_settings_that_do_not_fit_are_refused(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PTV3, **{"image_width": WIDTH, **fault})


@pytest.mark.parametrize("injection", Injection)
def test_a_config_survives_json(injection: Injection) -> None:
    config = replace(PTV3, image_width=None if injection is Injection.NONE else WIDTH, injection=injection)
    assert to_json_values(config)["injection"] == injection.value
    assert from_plain(PTv3Config, to_json_values(config), "test") == config
    older = {name: value for name, value in to_json_values(PTV3).items() if name != "injection"}
    assert from_plain(PTv3Config, older, "test").injection is Injection.DECODER


@pytest.mark.parametrize("injection", IMAGES)
def test_a_saved_model_keeps_its_contract(injection: Injection, tmp_path: Path) -> None:
    config = tiny_config(tiny_encoding(tmp_path))
    config = replace(config, network=replace(config.network, injection=injection))
    torch.manual_seed(0)
    save_model(tmp_path / "model", config, config.build())
    found, model = load_model(tmp_path / "model")
    assert found == config and isinstance(model, Segmentation)
    assert check_contract(tmp_path / "model", model, config.network).holds


@pytest.mark.parametrize("injection", [Injection.DECODER, Injection.LAST])
def test_variants_that_published_names_can_tell_are_recognized(injection: Injection) -> None:
    config = replace(PTV3, image_width=WIDTH, injection=injection, encoder_heads=(1, 1, 2))
    model = make_model(config)
    published = to_published(model.state_dict(), config)
    found = recognize({name: tuple(value.shape) for name, value in published.items()})
    assert isinstance(found.network, PTv3Config) and found.network.injection is injection
    again = from_published(published, make_model(config).state_dict(), config)
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_the_stem_takes_what_the_branch_gives_in_training() -> None:
    """The branch's BatchNorm counts cells, and not tokens, as in the fusion."""
    model = make_model(CONFIGS["after"]).train()
    _, _, image = join([Part(100, 2, 0)])
    seen = torch.cat([image.tokens, torch.zeros(1, WIDTH)])[image.lift.levels[0].token]
    branch = model.backbone.image
    linear = branch.linear(seen)
    expected = functional.gelu((linear - linear.mean(dim=0)) / (linear.var(dim=0, unbiased=False) + 1e-3).sqrt())
    table = model.backbone.token_table(image)
    torch.testing.assert_close(branch.inject(table, 0), expected, rtol=0, atol=1e-5)
