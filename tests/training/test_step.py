"""One step: groups and optimizers, losses by task, and what happens when something is not finite."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from small_world import NETWORK, PREPARATION, tiny_encoding, tiny_recipe, write_world
from torch.nn.utils import parameters_to_vector

from ditr.data.batch import Batch
from ditr.data.dataset import Shuffle, TrainingSet
from ditr.data.preparation import Preparation, ViewDrop
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.models.distillation import Distillation, Student
from ditr.models.injection import Injection
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.segmentation import Segmentation
from ditr.nn.image_features import ImageFeatures
from ditr.training.fabric import Mixed
from ditr.training.loading import RankShare, load_batches
from ditr.training.losses import cosine_loss, cross_entropy, lovasz_softmax
from ditr.training.recipe import DistillTask, Method, OptimizerSettings, Recipe, SegmentTask
from ditr.training.step import cls_loss, make_optimizer, take_step, targets_of, to_train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data", 2)
    return folder


@pytest.fixture(scope="module")
def encoding(world: Path) -> CachedEncoding:
    return tiny_encoding(world)


def batch_of(
    world: Path, encoding: CachedEncoding | None = None, cls: bool = False, preparation: Preparation = PREPARATION
) -> Batch:
    from ditr.data.augment.images import HorizontalFlip

    images = (HorizontalFlip(p=0.0),) if cls else ()
    data = TrainingSet(
        sorted((world / "data").iterdir()),
        preparation,
        NETWORK.pyramid,
        seed=0,
        encoding=encoding,
        image_augmentations=images,
    )
    order = RankShare(Shuffle(2, 2, 1, 0), 0, 1)
    return next(load_batches(data, order, encoding=encoding, device="cpu", workers=0, cls=cls))


def forever(*batches: Batch) -> Iterator[Batch]:
    while True:
        yield from batches


def segmentation(seed: int = 0) -> Segmentation:
    torch.manual_seed(seed)
    return Segmentation(replace(NETWORK, drop_path=0.0), 3).train()


CPU = Fabric(accelerator="cpu", devices=1)


# ---- groups ---------------------------------------------------------------------------------------------------------


def test_fine_tuning_has_a_rate_for_the_head_one_for_blocks_and_one_for_the_rest() -> None:
    settings = OptimizerSettings(lr=6e-3, block_lr=6e-5, rates=(("^backbone", 6e-4),))
    model = segmentation()
    optimizer, schedule = make_optimizer(tiny_recipe(optimizer=settings), model)
    assert schedule.max_lr == (6e-3, 6e-5, 6e-4)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    head, blocks, rest = ([name_of[id(p)] for p in group["params"]] for group in optimizer.param_groups)
    assert set(head) == {"head.weight", "head.bias"}
    assert all("blocks." in name for name in blocks)
    assert rest and all(name.startswith("backbone.") and "blocks." not in name for name in rest)
    assert len(head) + len(blocks) + len(rest) == len(name_of)
    with pytest.raises(InputError, match="'hed'"):
        make_optimizer(tiny_recipe(optimizer=replace(settings, rates=(("hed", 1.0),))), model)


def test_sgd_cycles_its_momentum() -> None:
    settings = OptimizerSettings(
        lr=0.05, block_lr=None, method=Method.SGD, weight_decay=1e-4, momentum=(0.8, 0.9), warmup=0.5
    )
    optimizer, schedule = make_optimizer(tiny_recipe(optimizer=settings), segmentation())
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert group["nesterov"] and group["weight_decay"] == 1e-4
    used = []
    for step in range(6):
        schedule.apply(optimizer, step)
        used.append((group["lr"], group["momentum"]))
    assert used[0] == (pytest.approx(5e-3), 0.9) and used[2] == (pytest.approx(0.05), pytest.approx(0.8))
    assert used[-1][1] == pytest.approx(0.9)


def test_a_gradient_beyond_the_limit_is_shortened_to_it(world: Path) -> None:
    """The first step of SGD goes 1 + momentum times the gradient that it is given, so the way tells that."""
    batch = batch_of(world)
    settings = OptimizerSettings(method=Method.SGD, lr=0.01, block_lr=None, weight_decay=0.0, momentum=(0.5, 0.5))
    settings = replace(settings, warmup=0.5, div_factor=1.0)  # the first step has the full rate

    def way(clip: float | None) -> tuple[float, torch.Tensor]:
        recipe, model = tiny_recipe(optimizer=replace(settings, clip=clip)), segmentation()
        before = parameters_to_vector(model.parameters()).detach()
        done = step_of(recipe, model, batch)
        return done.gradient_norm, (before - parameters_to_vector(model.parameters()).detach()) / (0.01 * 1.5)

    norm, free = way(None)
    assert free.norm().item() == pytest.approx(norm, rel=1e-3)
    for limit, share in ((norm / 4, 1 / 4), (norm * 2, 1.0)):
        told, moved = way(limit)
        assert told == pytest.approx(norm, rel=1e-6)
        torch.testing.assert_close(moved, free * share, rtol=1e-3, atol=1e-4 * norm)


# ---- losses ---------------------------------------------------------------------------------------------------------


def step_of(recipe: Recipe, model: torch.nn.Module, *batches: Batch, fabric: Fabric = CPU) -> object:
    optimizer, schedule = make_optimizer(recipe, model)
    wrapped, running = fabric.setup(to_train(model, recipe.task), optimizer)  # type: ignore[arg-type]
    schedule.apply(running, 0)
    return take_step(recipe, fabric, wrapped, running, forever(*batches))


def test_losses_of_segmentation_have_their_weights(world: Path) -> None:
    batch = batch_of(world)
    model = segmentation()
    logits, weights = model(batch.feature, batch.pyramid), torch.tensor([1.0, 3.0, 0.5])
    assert batch.label is not None
    wanted = 2 * cross_entropy(logits, batch.label, weights) + 0.25 * lovasz_softmax(logits, batch.label)
    task = SegmentTask(cross_entropy=2.0, lovasz=0.25, class_weights=(1.0, 3.0, 0.5))
    done = step_of(tiny_recipe(task=task), segmentation(), batch)
    assert done.loss == pytest.approx(wanted.item(), rel=1e-6) and not done.skipped


def test_losses_of_distillation(world: Path, encoding: CachedEncoding) -> None:
    batch = batch_of(world, encoding, cls=True)
    assert batch.cls is not None and batch.cls.shape == (4, encoding.width) and batch.views == (2, 2)
    recipe = tiny_recipe(encoding, task=DistillTask(cosine=1.0, cls=0.5, cls_tokens=2))
    torch.manual_seed(0)
    model = Distillation(replace(NETWORK, drop_path=0.0), Student(encoding.width, cls_tokens=2)).train()
    out = model(batch.feature, batch.pyramid)
    target, visible = targets_of(batch)
    assert target.shape == out.prediction.shape and 0 < int(visible.sum()) < len(visible)
    assert bool((target[~visible] == 0).all()) and bool((target[visible].abs().sum(dim=1) > 0).all())
    assert out.cls is not None
    similar = torch.nn.functional.cosine_similarity(out.cls.flatten(0, 1), batch.cls, dim=1)
    assert cls_loss(out.cls, batch).item() == pytest.approx(1 - similar.mean().item(), rel=1e-6)
    wanted = cosine_loss(out.prediction, target, visible) + 0.5 * cls_loss(out.cls, batch)
    model.load_state_dict(model.state_dict())
    assert step_of(recipe, model, batch).loss == pytest.approx(wanted.item(), rel=1e-5)


def test_a_sample_of_fewer_views_than_the_head_predicts_counts_with_these() -> None:
    torch.manual_seed(0)
    prediction, tokens = torch.randn(2, 3, 5), torch.randn(3, 5)
    empty = torch.zeros(0)
    batch = Batch(("a", "b"), empty, None, None, None, None, views=(1, 2), cls=tokens)  # type: ignore[arg-type]
    kept = torch.stack([prediction[0, 0], prediction[1, 0], prediction[1, 1]])
    assert cls_loss(prediction, batch).item() == pytest.approx(cosine_loss(kept, tokens).item())


def test_a_batch_that_no_view_sees_costs_nothing_and_is_counted(world: Path, encoding: CachedEncoding) -> None:
    batch = batch_of(world, encoding)
    assert batch.lift is not None
    levels = tuple(replace(level, token=torch.full_like(level.token, -1)) for level in batch.lift.levels)
    blind = replace(batch, lift=replace(batch.lift, levels=levels))
    recipe = tiny_recipe(encoding, task=DistillTask(), accumulate=2)
    done = step_of(recipe, Distillation(NETWORK, Student(encoding.width)).train(), blind)
    assert done.loss == 0 and done.unseen == 2 and not done.skipped and done.gradient_norm == 0
    done = step_of(recipe, Distillation(NETWORK, Student(encoding.width)).train(), batch, blind)
    assert done.loss > 0 and done.unseen == 1


# ---- what is not finite ---------------------------------------------------------------------------------------------


def state_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    moments = {f"{i} {k}": v for i, of in optimizer.state_dict()["state"].items() for k, v in of.items()}
    return {name: value.clone() for name, value in {**model.state_dict(), **moments}.items()}


@pytest.mark.parametrize("scaled", [False, True], ids=["fp32", "fp16"])
def test_a_step_that_is_not_finite_leaves_everything_as_it_was(world: Path, scaled: bool) -> None:
    batch = batch_of(world)
    bad = replace(batch, feature=torch.full_like(batch.feature, math.nan))
    model, recipe = segmentation(), tiny_recipe()
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    fabric = Fabric(accelerator="cpu", plugins=[Mixed("16-mixed", "cpu", scaler)]) if scaled else CPU
    optimizer, schedule = make_optimizer(recipe, model)
    wrapped, running = fabric.setup(model, optimizer)
    schedule.apply(running, 0)
    batches = iter([batch, bad, batch])
    assert not take_step(recipe, fabric, wrapped, running, batches).skipped
    before = state_of(model, optimizer)
    done = take_step(recipe, fabric, wrapped, running, batches)
    assert done.skipped and math.isnan(done.loss) and done.names == bad.names
    after = state_of(model, optimizer)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert scaler.get_scale() == (8.0 if scaled else 16.0)
    done = take_step(recipe, fabric, wrapped, running, batches)
    assert not done.skipped and any(not torch.equal(v, before[name]) for name, v in model.state_dict().items())


def test_a_gradient_beyond_fp16_lowers_the_scale_and_is_skipped(world: Path) -> None:
    batch, model, recipe = batch_of(world), segmentation(), tiny_recipe()
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    done = step_of(recipe, model, batch, fabric=Fabric(accelerator="cpu", plugins=[Mixed("16-mixed", "cpu", scaler)]))
    assert done.skipped and math.isfinite(done.loss) and scaler.get_scale() == 2.0**39


def test_minkunet_trains_by_the_same_step(world: Path) -> None:
    network = MinkUNetConfig(
        encoder_depths=(1,), encoder_channels=(16,), decoder_depths=(1,), decoder_channels=(16,), stem_channels=8
    )
    recipe = tiny_recipe(network=network, optimizer=OptimizerSettings(method=Method.SGD, block_lr=None))
    data = TrainingSet(sorted((world / "data").iterdir()), PREPARATION, network.pyramid, seed=0)
    batch = next(load_batches(data, RankShare(Shuffle(2, 2, 1, 0), 0, 1), encoding=None, device="cpu", workers=0))
    done = step_of(recipe, Segmentation(network, 3).train(), batch)
    assert math.isfinite(done.loss) and done.gradient_norm > 0


@pytest.mark.parametrize("injection", [Injection.DECODER, Injection.ENCODER, Injection.AFTER, Injection.CLS])
def test_a_loss_with_and_without_images(world: Path, encoding: CachedEncoding, injection: Injection) -> None:
    """Each share is the loss that the network has when it sees them, and when there are no views."""
    cls = injection is Injection.CLS
    batch = batch_of(world, encoding, cls=True)
    assert batch.tokens is not None and batch.lift is not None and batch.label is not None
    network = replace(
        NETWORK, drop_path=0.0, image_width=encoding.width, injection=injection, missing_embedding=not cls
    )
    image = ImageFeatures(batch.tokens, batch.lift, batch.cls, batch.views)
    nothing = batch_of(world, encoding, cls=True, preparation=replace(PREPARATION, view_drop=ViewDrop(1.0, 0.0)))
    assert nothing.tokens is not None and nothing.lift is not None and len(nothing.tokens) == 0
    assert torch.equal(nothing.feature, batch.feature)
    none = ImageFeatures(nothing.tokens, nothing.lift, nothing.cls, nothing.views)
    for share in (0.25, 0.5):
        torch.manual_seed(0)
        model = Segmentation(network, 3).train()
        task = SegmentTask(without_images=share)
        losses = []
        for shown in (image, none):
            logits = copy.deepcopy(model)(batch.feature, batch.pyramid, shown)
            losses.append(cross_entropy(logits, batch.label) + lovasz_softmax(logits, batch.label))
        wanted = (1 - share) * losses[0] + share * losses[1]
        done = step_of(tiny_recipe(encoding, task=task), model, batch)
        assert losses[0] != losses[1] and done.loss == pytest.approx(wanted.item(), rel=1e-5)


@pytest.mark.parametrize("injection", [injection for injection in Injection if injection is not Injection.NONE])
@pytest.mark.parametrize("views", [True, False], ids=["views", "no views"])
def test_every_parameter_gets_a_gradient(
    world: Path, encoding: CachedEncoding, injection: Injection, views: bool
) -> None:
    """Without norms per dataset; so several processes need not look for parameters that a batch left out."""
    drop = {} if views else {"preparation": replace(PREPARATION, view_drop=ViewDrop(1.0, 0.0))}
    batch = batch_of(world, encoding, cls=True, **drop)
    assert batch.tokens is not None and batch.lift is not None and batch.label is not None
    missing = injection is not Injection.CLS
    network = replace(NETWORK, image_width=encoding.width, injection=injection, missing_embedding=missing)
    model = Segmentation(network, 3).train()
    shown = ImageFeatures(batch.tokens, batch.lift, batch.cls, batch.views)
    unlabelled = torch.full_like(batch.label, -1)
    cross_entropy(model(batch.feature, batch.pyramid, shown), unlabelled).backward()
    student = Distillation(NETWORK, Student(encoding.width, cls_tokens=2)).train()
    out = student(batch.feature, batch.pyramid)
    target, visible = targets_of(batch, student)
    assert out.cls is not None
    (cosine_loss(out.prediction, target, visible) + cls_loss(out.cls, batch)).backward()
    without = [name for each in (model, student) for name, value in each.named_parameters() if value.grad is None]
    assert without == []


def test_images_can_only_be_left_out_where_there_are_some() -> None:
    with pytest.raises(InputError, match="no images to drop"):
        tiny_recipe(task=SegmentTask(without_images=0.2))
    with pytest.raises(InputError, match="without_images"):
        SegmentTask(without_images=1.0)
