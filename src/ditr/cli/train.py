"""``ditr train``: train a network on labelled captures, or repeat a run of the paper on a prepared dataset."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from ditr.cli.options import UNSET, Reading
from ditr.cli.train_options import DataOptions, LoggingOptions, NetworkOptions, RunOptions

if TYPE_CHECKING:
    from ditr.captures.classes import LabelCounts
    from ditr.cli.captures import Captures
    from ditr.encoders.encoding import CachedEncoding
    from ditr.errors import Finding
    from ditr.plausibility.many import Need
    from ditr.scene import ReadOptions, Scene
    from ditr.training.recipe import Recipe

__all__ = ["Train", "run"]


@dataclass(frozen=True)
class Train:
    """Train a network on labelled captures, or repeat a run of the paper.

    $ ditr train small RUN --data SCANS                   minutes on a CPU
    $ ditr train full RUN --data SCANS                    the published network size
    $ ditr train scannet200/ditr RUN --data ROOT          a run of the paper
    $ ditr train OLD/recipe.json RUN --set batch_size=4   repeat a run with changes
    $ ditr train small STUDENT --data SCANS --distill     a student, without labels
    $ ditr train small RUN --data SCANS --init STUDENT    fine-tune the student
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """small or full, for your own captures: a small network for few steps, or the published sizes. Or the name of a run
    of the paper (`ditr recipes` lists them), or a file, such as the recipe.json of a run."""
    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN", help_behavior_hint="(required)")] = (
        None
    )
    """Folder for the model, checkpoints, recipe and logs."""
    data: DataOptions = field(default_factory=DataOptions)
    reading: Reading = field(default_factory=Reading)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    compute: RunOptions = field(default_factory=RunOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)


def run(args: Train) -> None:
    """Train, and say where the model is."""
    from ditr.captures.read_options import options_as_json
    from ditr.cli.common import folder_for
    from ditr.cli.train_results import finish
    from ditr.io.locks import require_unlocked
    from ditr.training.fabric import count_processes
    from ditr.training.loop import TrainingRun, train

    out = folder_for(_folder(args))
    if count_processes() == (1, 1):  # of several, one may have the lock already
        require_unlocked(out)
    args = _validated_as_before(args)
    work = _work(args)
    compute = args.compute
    origin: dict[str, Any] = {"data": str(work.data.absolute()), "recipe_name": args.recipe}
    if args.data.validate is not None:
        origin["validate"] = str(args.data.validate.absolute())
    origin |= {"changes": list(args.network.set), "reading": options_as_json(work.reading), **work.found}
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
            checkpoint_minutes=compute.checkpoint_minutes,
            allow_other_machine=compute.allow_other_machine,
            deterministic=compute.deterministic,
            wandb=args.logging.wandb,
            validation=work.validation,
            reading=work.reading,
            origin=origin,
            labels=work.labels,
        ),
    )
    finish(out, work.recipe, work.data, work.encoding, work.findings)


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


def _validated_as_before(args: Train) -> Train:
    """With the folder that the run of this ``recipe.json`` was validated on, where its data are taken as well."""
    import json
    from dataclasses import replace

    from ditr.cli.output import remark
    from ditr.training.recipe import read_recipe

    if not args.recipe.endswith(".json") or args.data.data is not None or args.data.validate is not None:
        return args
    read_recipe(Path(args.recipe))
    folder = json.loads(Path(args.recipe).read_bytes()).get("validate")
    if not isinstance(folder, str):
        return args
    remark(f"validated on {folder}, as {args.recipe} says")
    return replace(args, data=replace(args.data, validate=Path(folder)))


@dataclass(frozen=True)
class _Start:
    """A recipe as it is written, and what belongs to it: its data, how they are read, the recipe of its student."""

    recipe: Recipe
    data: Path
    reading: ReadOptions
    student: str | None = None
    captures: Annotated[Captures | None, UNSET] = None
    """What is known of the captures; None for prepared datasets."""
    by_size: Annotated[bool, UNSET] = False
    """Whether the recipe is small or full, which depends on the captures."""

    @property
    def scene(self) -> Scene | None:
        """The outline of the first capture, of small and full."""
        return self.captures.first if self.by_size and self.captures is not None else None


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
    labels: LabelCounts | None = None
    found: dict[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def _work(args: Train) -> _Work:
    """The recipe with everything that the options change, and its scenes.

    Raises:
        InputError: no such recipe, an option that does not fit it, or data that are not there.
    """
    from dataclasses import replace

    from ditr.cli.captures import choose
    from ditr.cli.common import encode_captures
    from ditr.inference.assumptions import of_scenes
    from ditr.recipes.prepared import is_prepared, open_datasets
    from ditr.runtime import phase

    start = _start(args)
    prepared = is_prepared(start.recipe)
    _refuse(args, start.reading, prepared)
    if start.captures is None:
        with phase("read the scenes"):
            recipe, encoding = _changed(args, start, prepared)
            sources, validation = open_datasets(recipe, start.data)
        with phase("load models"):
            recipe = _from_model(recipe)
        return _Work(recipe, sources, validation or [], encoding, start.data, start.reading, prepared)
    captures, labels, found = choose(
        start.captures,
        _distills(args, start.recipe),
        lambda dataset: _inputs(args, start, dataset),
        where=start.data,
        skip=args.data.skip_bad_scenes,
    )
    start = replace(start, captures=captures)
    with phase("load models"):
        recipe, encoding = _changed(args, start, prepared)
    folders = {name: [look.folder for look in looks] for name, looks in captures.train.items()}
    scenes: Any = folders if recipe.datasets else folders[""]
    others = [look.folder for look in captures.validation]
    _say(recipe, start, [c for part in folders.values() for c in part])
    if encoding is not None:
        encoding = encoding.at(recipe.preparation.image_size)
        if not recipe.augmentation.images and not recipe.datasets:
            encode_captures(encoding, scenes, reading=start.reading)
    looks = [look for part in (*captures.train.values(), captures.validation) for look in part]
    findings = tuple(finding for look in looks for finding in look.findings)
    findings += tuple(of_scenes([look.outline for look in looks if look.outline is not None], recipe.preparation))
    return _Work(recipe, scenes, others, encoding, start.data, start.reading, prepared, labels, found, findings)


def _start(args: Train) -> _Start:
    from dataclasses import replace

    from ditr.errors import InputError
    from ditr.recipes.captures import SIZES, recipe_for
    from ditr.recipes.prepared import is_prepared
    from ditr.recipes.table import find_recipe

    name, data, reading = args.recipe, args.data.data, args.reading.options()
    if name.endswith(".json"):
        start = _from_file(Path(name), data, reading)
        if is_prepared(start.recipe):
            return start
        return replace(start, captures=_look(args, start.data, start.reading, start.recipe))
    entry = None if name in SIZES else find_recipe(name)
    if data is None:
        what = "a folder of captures" if entry is None else "the folder with scannet, nuscenes, ..., as prepared"
        raise InputError("--data", "it is missing", f"Name {what}")
    if entry is not None:
        return _Start(entry.make(), data, reading, entry.start)
    if args.data.split != "train":
        _refuse(args, reading, prepared=False)
    captures = _look(args, data, reading)
    return _Start(recipe_for(name, captures.first), data, reading, captures=captures, by_size=True)


def _look(args: Train, data: Path, reading: ReadOptions, recipe: Recipe | None = None) -> Captures:
    """All captures that the run names, before anything is asked of the hub."""
    from ditr.captures.folders import find_captures
    from ditr.cli.captures import Captures as Found
    from ditr.cli.captures import takes_photographs

    photographs = args.network.encoder != "none" and (recipe is None or recipe.encoder is not None)
    names = () if recipe is None else tuple(dataset.name for dataset in recipe.datasets)
    if photographs and args.network.encoder is None and args.network.init is not None and not args.network.distill:
        photographs = takes_photographs(args.network.init)
    return Found.of(
        {name: find_captures(data / name, reading) for name in names or ("",)},
        [] if args.data.validate is None else find_captures(args.data.validate, reading),
        reading,
        force=args.reading.force,
        photographs=photographs,
        labelled=not _distills(args, recipe),
    )


def _distills(args: Train, recipe: Recipe | None) -> bool:
    from ditr.training.recipe import DistillTask

    return args.network.distill or (recipe is not None and isinstance(recipe.task, DistillTask))


def _inputs(args: Train, start: _Start, dataset: str) -> Need:
    """The need of what the network takes as input."""
    from ditr.data.sample import require_attributes
    from ditr.recipes.captures import check_outdoors
    from ditr.recipes.changes import with_settings

    recipe = with_settings(start.recipe, [text for text in args.network.set if text.startswith("preparation.")])
    own = next((data.preparation for data in recipe.datasets if data.name == dataset), None)
    preparation = (own or recipe.preparation).reading(start.reading)

    def need(scene: Scene) -> None:
        if start.by_size:
            check_outdoors(scene, preparation)
        require_attributes(scene, preparation)

    return need


def _from_file(path: Path, data: Path | None, reading: ReadOptions) -> _Start:
    """A run's ``recipe.json`` also says where its data are and how they were read."""
    import json

    from ditr.captures.read_options import options_from_json
    from ditr.errors import InputError
    from ditr.training.recipe import read_recipe

    recipe, content = read_recipe(path), json.loads(path.read_bytes())
    stored = content.get("data")
    if data is None and not isinstance(stored, str):
        raise InputError(path, "it does not say where its data is", "Name the folder with --data")
    before = options_from_json(content.get("reading", {}), str(path))
    return _Start(recipe, data or Path(stored), reading.over(before))


def _refuse(args: Train, reading: ReadOptions, prepared: bool) -> None:
    """Options about data that the recipe has no use for."""
    from ditr.errors import InputError
    from ditr.scene import ReadOptions

    if not prepared:
        if args.data.split != "train":
            raise InputError("--split", "captures have no splits", "Leave it out, or use a recipe of the paper")
        return
    if args.data.validate is not None:
        raise InputError("--validate", "recipes of the paper have their own validation scenes", "Leave it out")
    if reading != ReadOptions():
        raise InputError(
            "--profile, --max-views, --up, --substitute and --strength-scale",
            "they are for captures, but a prepared dataset is read as published",
            "Change the recipe instead, as --set preparation.max_views=4",
        )


def _changed(args: Train, start: _Start, prepared: bool) -> tuple[Recipe, CachedEncoding | None]:
    """The recipe after all options, and the encoder of its photographs."""
    from dataclasses import replace

    from ditr.errors import InputError
    from ditr.recipes.changes import for_test_server, with_encoder, with_settings
    from ditr.training.recipe import DistillTask

    recipe, options = start.recipe, args.network
    if args.data.split == "train+val":
        recipe = for_test_server(recipe)
    if options.init is not None:
        recipe = replace(recipe, init=options.init)
    if start.student is not None and recipe.init is None:
        raise InputError(
            args.recipe,
            "its training starts from a distilled network",
            f"Train it with `ditr train {start.student} STUDENT`, then give --init STUDENT",
        )
    if not prepared:
        recipe = _from_model(recipe)
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
        raise InputError("--set", "the encoder cannot be changed as a setting", "Use --encoder")
    return recipe, encoding


def _from_model(recipe: Recipe) -> Recipe:
    """With the folder of the model that it starts from, which the hub may have to be asked for."""
    from dataclasses import replace

    from ditr.weights.pretrained import find_model

    return recipe if recipe.init is None else replace(recipe, init=str(find_model(recipe.init).absolute()))


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
    from ditr.cli.common import make_encoding

    if spec is None:
        return None
    # Photographs of prepared datasets are augmented, and too many to keep.
    cache, no_cache = args.compute.cache, args.compute.no_cache
    use_cache = not no_cache and (cache is not None or not prepared)
    compute = args.compute
    encoding = make_encoding(spec, cache, use_cache=use_cache, device=compute.device, precision=compute.precision)
    return encoding.pinned()


def _say(recipe: Recipe, start: _Start, captures: list[Path]) -> None:
    """What was decided by what the captures have."""
    from ditr.captures.read_options import stated_options
    from ditr.cli.output import remark
    from ditr.data.preparation import profile_rule
    from ditr.inference.explain import what_is_visible

    if (said := stated_options(captures)) is not None:
        remark(said)
    if start.scene is not None:
        visible = what_is_visible(recipe.preparation.rule, start.scene.views)
        seen = "" if recipe.encoder is None else f": visible is {visible}"
        remark(f"profile {profile_rule(start.scene)[0]}{seen}")
        remark(f"encoder: {recipe.encoder or 'none, the network sees only points'}")
