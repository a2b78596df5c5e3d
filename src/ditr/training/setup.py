"""What a run is made of, before its first step: fabric, datasets, the model's config, and what tells runs apart."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from ditr.captures.classes import LabelCounts
from ditr.data.batch import Batch
from ditr.data.dataset import TrainingSet
from ditr.data.preparation import Origin, Preparation
from ditr.data.sample import not_finite
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.models.distillation import Student, load_backbone
from ditr.scene import ReadOptions, SceneSource
from ditr.training.loading import JointSampler, RankShare, TrainingSource, load_batches
from ditr.training.recipe import DistillTask, JointDataset, Recipe
from ditr.training.worker_trace import WorkerTrace
from ditr.weights.saved_model import EncoderConfig, Model, ModelConfig

__all__ = ["Data", "Scenes", "TrainingRun", "load_start", "make_data", "model_config", "scenes_by_dataset"]


Scenes = Sequence[Path] | SceneSource
"""Folders of captures, or a source of scenes."""


@dataclass(frozen=True)
class TrainingRun:
    """Where a run reads, writes and computes.

    Attributes:
        folder: of the run; holds the model, checkpoints, the recipe and the logs.
        captures: the training scenes, as folders of captures or as a source of scenes (a prepared dataset); of a recipe
            with datasets by their names.
        encoding: of the photographs, for recipes with an encoder.
        device: "auto", "cpu" or "cuda".
        precision: of network and image encoder, "32-true", "bf16-mixed" or "16-mixed"; None for bf16 on a GPU and fp32
            on a CPU, and for the encoding's own.
        workers: loader processes; 0 prepares samples in this process.
        checkpoint_every: optimizer steps between checkpoints.
        checkpoint_minutes: minutes after which there is one in any case; 0 for no such limit.
        allow_other_machine: whether a run that is taken up may go on with another device, precision, number of threads
            or processes, or other kernels than it had; its bits are then not those of a run without a break.
        deterministic: operations whose result does not depend on the order in which a GPU's threads finish, which is
            slower; where torch has none the run ends with an error that names the operation. A CPU has no others.
        wandb: project of Weights & Biases to which the TensorBoard log is sent as it is written; None for none.
        quiet: no progress bar.
        report: called with the number of steps done and their total.
        validation: scenes on which the model is tried out while it trains, those of the main dataset.
        reading: how captures are read, before what their own files say.
        origin: where recipe and data are from, in plain values; noted in the run's ``recipe.json``.
        labels: what is labelled in the training scenes, where that was counted; noted in the model's config.
    """

    folder: Path
    captures: Scenes | Mapping[str, Scenes]
    encoding: CachedEncoding | None = None
    device: str = "auto"
    precision: str | None = None
    workers: int = 0
    checkpoint_every: int = 500
    checkpoint_minutes: float = 10.0
    allow_other_machine: bool = False
    deterministic: bool = False
    wandb: str | None = None
    quiet: bool = False
    report: Callable[[int, int], None] | None = None
    validation: Scenes = ()
    reading: ReadOptions = field(default_factory=ReadOptions)
    origin: Mapping[str, Any] = field(default_factory=dict)
    labels: LabelCounts | None = None


@dataclass(frozen=True)
class Data:
    """The datasets of a run, the main one first, its scenes for validation, and what the loader is at."""

    sources: tuple[TrainingSource, ...]
    validation: TrainingSet | None
    making: WorkerTrace

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of all datasets; none in distillation.

        Raises:
            InputError: a dataset that cannot be trained on, or has a class that the main one lacks.
        """
        main = self.sources[0].dataset
        if not main.labelled:
            return ()
        others = [source.dataset for source in self.sources[1:]]
        for other in [*others, *([] if self.validation is None else [self.validation])]:
            other.take_classes(main.class_names)
        return main.class_names

    def first_bad_point(self, names: Sequence[str]) -> str:
        """What is not finite in the first of some samples, by the points of its scene, in words."""
        wanted = [part for name in names for part in name.split(" + ")]
        for dataset in (source.dataset for source in self.sources):
            for index, name in enumerate(dataset.source.names()):
                if Path(name).name in wanted or name in wanted:
                    scene = dataset.scene(index)
                    if (found := not_finite(scene, dataset.preparation)) is not None:
                        return f"the {found[0].value} of point {found[1]} of scene {scene.name} is not finite"
        return f"the input of scene {wanted[0]} is not finite (its image features, or after augmentation)"

    @property
    def by_name(self) -> dict[str, TrainingSet]:
        """The sets of scenes: "training", of further datasets "training 2" and so on, and "validation"."""
        numbered = enumerate(self.sources, 1)
        named = {f"training {n}" if n > 1 else "training": source.dataset for n, source in numbered}
        return named | ({} if self.validation is None else {"validation": self.validation})

    def batches(self, recipe: Recipe, run: TrainingRun, start: int, fabric: Fabric) -> Generator[Batch, None, None]:
        """Batches from the first one after ``start`` optimizer steps; each process takes its share."""
        turns = JointSampler(
            [len(source.dataset) for source in self.sources],
            [dataset.ratio for dataset in _datasets(recipe)],
            recipe.batch_size * fabric.world_size,
            recipe.steps * recipe.accumulate,
            recipe.seed,
            start=start * recipe.accumulate,
        )
        mix3d = [(dataset.augmentation or recipe.augmentation).mix3d for dataset in _datasets(recipe)]
        return load_batches(
            self.sources,
            RankShare(turns, fabric.global_rank, fabric.world_size, mix3d=mix3d, seed=recipe.seed),
            encoding=run.encoding,
            device=fabric.device,
            workers=run.workers,
            cls=_wants_cls(recipe) or recipe.network.reads_cls,
            making=self.making,
        )


def make_data(recipe: Recipe, run: TrainingRun) -> Data:
    """The datasets that the recipe and the run name.

    Raises:
        InputError: datasets that the one names and the other does not, or an unknown augmentation.
        ValueError: an encoder without its encoding, or the reverse.
    """
    if (recipe.encoder is None) != (run.encoding is None):
        raise ValueError("a recipe with an encoder needs the run's encoding, one without must not have it")
    captures = scenes_by_dataset(recipe, run)
    sources = tuple(
        TrainingSource(
            _training_set(recipe, run, dataset, captures[dataset.name]), dataset.norms or dataset.name or None
        )
        for dataset in _datasets(recipe)
    )
    validation = None
    if len(run.validation):
        main = _datasets(recipe)[0]
        validation = TrainingSet(
            run.validation,
            main.preparation or recipe.preparation,
            recipe.network.pyramid,
            seed=recipe.seed,
            encoding=_encoding(run, main.preparation or recipe.preparation),
            keep=False,
            labelled=not isinstance(recipe.task, DistillTask),
            reading=run.reading,
        )
    making = WorkerTrace(run.workers, recipe.batch_size, lambda which, scene: sources[which].dataset.place(scene))
    return Data(sources, validation, making)


def _datasets(recipe: Recipe) -> tuple[JointDataset, ...]:
    return recipe.datasets or (JointDataset(""),)


def scenes_by_dataset(recipe: Recipe, run: TrainingRun) -> dict[str, Scenes]:
    """The training scenes by the names of the recipe's datasets.

    Raises:
        InputError: datasets that the one names and the other does not.
    """
    names = [dataset.name for dataset in _datasets(recipe)]
    given: dict[str, Scenes] = dict(run.captures) if isinstance(run.captures, Mapping) else {names[0]: run.captures}
    for name in names:
        if name not in given or not len(given[name]):
            raise InputError(f"dataset {name}", "the run has no scenes of it", f"Give scenes of {', '.join(names)}")
    left = ", ".join(given.keys() - set(names))
    if left:
        raise InputError("recipe", f"it has no dataset {left}", "Add it to the recipe's datasets, or leave it out")
    return given


def _training_set(recipe: Recipe, run: TrainingRun, dataset: JointDataset, scenes: Scenes) -> TrainingSet:
    preparation = dataset.preparation or recipe.preparation
    augmentation = dataset.augmentation or recipe.augmentation
    return TrainingSet(
        scenes,
        preparation,
        recipe.network.pyramid,
        seed=recipe.seed,
        augmentations=augmentation.of_points(preparation.clip),
        crop=augmentation.of_voxels(recenter=preparation.origin is Origin.CENTER),
        image_augmentations=augmentation.of_images() if run.encoding is not None else (),
        encoding=_encoding(run, preparation),
        # A prepared dataset may have more scenes than memory holds.
        keep=isinstance(scenes, Sequence),
        labelled=not isinstance(recipe.task, DistillTask),
        labelled_points=recipe.labelled_points,
        reading=run.reading,
    )


def _encoding(run: TrainingRun, preparation: Preparation) -> CachedEncoding | None:
    """At the size of a dataset's own photographs, where it has another than the main one."""
    return None if run.encoding is None else run.encoding.at(preparation.image_size)


def _wants_cls(recipe: Recipe) -> bool:
    return isinstance(recipe.task, DistillTask) and recipe.task.cls_tokens > 0


def model_config(recipe: Recipe, run: TrainingRun, class_names: tuple[str, ...]) -> ModelConfig:
    """Of the model that the run will leave: the main dataset's, where there are several."""
    width = None if run.encoding is None else run.encoding.encoder.width
    main, task = _datasets(recipe)[0], recipe.task
    preparation = main.preparation or recipe.preparation
    student = None
    if isinstance(task, DistillTask):
        assert width is not None
        if task.whiten > width:
            raise InputError("whiten", f"it is {task.whiten}", f"Give at most {width}, the width of the teacher")
        student = Student(width, task.head_per_dataset, task.cls_tokens, task.whiten)
    network = recipe.network.for_input(preparation.in_channels, None if student else width)
    norms = network.norms
    _check_norms(recipe, () if norms is None else norms.datasets)
    _check_class_weights(recipe, class_names)
    return ModelConfig(
        network=network,
        preparation=preparation,
        class_names=class_names,
        encoder=None if run.encoding is None else EncoderConfig.of(run.encoding.encoder, run.encoding.spec),
        student=student,
        dataset=main.name or None,
        norms_of=None if norms is None else main.norms or main.name,
        seed=recipe.seed,
        labels=run.labels,
    )


def _check_norms(recipe: Recipe, known: tuple[str, ...]) -> None:
    for dataset in _datasets(recipe):
        name = dataset.norms or dataset.name
        if known and name not in known:
            raise InputError(
                f"dataset {dataset.name or 'without a name'}",
                f"the network has norms of {', '.join(known)}",
                "Rename the dataset to one of these, or choose its norms with `norms`",
            )


def _check_class_weights(recipe: Recipe, class_names: tuple[str, ...]) -> None:
    weights = () if isinstance(recipe.task, DistillTask) else recipe.task.class_weights
    if weights and len(weights) != len(class_names):
        raise InputError("class_weights", f"{len(weights)} for {len(class_names)} classes", "Give one per class")


def load_start(recipe: Recipe, model: Model) -> None:
    """Give ``model`` the backbone of the trained model that the recipe starts from, if it does.

    Raises:
        InputError: no model there, or one of which anything but the heads does not fit; all of it is named.
    """
    if recipe.init is None:
        return
    from ditr.weights.pretrained import from_pretrained

    _, trained = from_pretrained(recipe.init, device="cpu")
    try:
        load_backbone(model, trained.state_dict())
    except ValueError as error:
        raise InputError(recipe.init, str(error), "Start from a model of the same network") from None
