"""What a run is and where it computes, as it stands in its folder's ``run.json``: what differs can then be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from ditr.captures.folders import fingerprint
from ditr.doctor.machine import describe_kernels
from ditr.errors import InputError, few
from ditr.io.files import file_sha256, write_json
from ditr.io.json_file import read_json
from ditr.io.settings_json import to_json_values
from ditr.nn.products import Products, use_products
from ditr.scene import ReadOptions
from ditr.training.checkpoint import Progress, has_checkpoint
from ditr.training.recipe import Recipe
from ditr.training.schedule import OneCycle
from ditr.training.setup import Scenes, TrainingRun, scenes_by_dataset

__all__ = ["RunRecord"]

_FILE = "run.json"
_ANYWAY = "Delete it to continue anyway"
_ATTENTION = {"bf16-mixed": "attention_bf16", "16-mixed": "attention_fp16"}


@dataclass(frozen=True)
class RunRecord:
    """All that the bits of a run depend on, in plain values.

    Attributes:
        recipe: with the digest of the weights that it starts from.
        data: by dataset the scenes and what their cameras are; the classes; how captures are read.
        machine: device, kernels, precision, threads and processes.
    """

    recipe: dict[str, Any]
    data: dict[str, Any]
    machine: dict[str, Any]

    @classmethod
    def of(cls, recipe: Recipe, run: TrainingRun, class_names: tuple[str, ...], fabric: Fabric) -> RunRecord:
        """Of a run before its first step, wherever its captures have gone meanwhile.

        Raises:
            InputError: the weights to start from are not there.
        """
        named = (*scenes_by_dataset(recipe, run).items(), ("validation", run.validation))
        data = {
            "scenes": [[name, _fingerprint(scenes)] for name, scenes in named],
            "classes": list(class_names),
            "reading": None if run.reading == ReadOptions() else to_json_values(run.reading),
        }
        return cls(to_json_values(replace(recipe, init=_start(recipe))), data, _machine(run, fabric))

    @property
    def names(self) -> tuple[str, str]:
        """Digests by which checkpoints are told apart: that of a run of any length, and the one of ditr 0.1."""
        of_any_length = {name: value for name, value in self.recipe.items() if name != "steps"}
        reading = self.data["reading"]
        rest = [self.data["scenes"], self.data["classes"], *([] if reading is None else [reading])]
        return _digest([of_any_length, *rest]), _digest([self.recipe, *rest])

    def require_same_run(self, folder: Path) -> None:
        """Refuse a folder in which another run has left something; a longer run is the same.

        Raises:
            InputError: the settings and scenes that differ are named.
        """
        before = self._before(folder)
        if before is None or not (has_checkpoint(folder / "checkpoints") or (folder / "finished.json").exists()):
            return
        then, now = dict(before["recipe"]), dict(self.recipe)
        if then["steps"] <= now["steps"]:
            del then["steps"], now["steps"]
        found = [*_differences(then, now), *_other_data(before["data"], self.data)]
        if found:
            remedy = "Use the recipe and data that the run began with, or choose another folder"
            raise InputError(folder, f"the run here has another recipe or other data: {few(found, 3)}", remedy)

    @classmethod
    def choose_products(cls, folder: Path) -> None:
        """Multiply matrices as the run in a folder does, torch's way in one of ditr 0.1; a new run as is best here.

        What this machine does not offer is left to :meth:`other_machine`, which names it.

        Raises:
            InputError: a damaged record.
        """
        before = cls._before(folder)
        begun = has_checkpoint(folder / "checkpoints")
        name = before["machines"][-1].get("products") if before else Products.TORCH.value if begun else None
        try:
            use_products(None if name is None else Products(name))
        except ValueError:
            use_products(None)

    def other_machine(self, folder: Path, *, allowed: bool) -> list[str]:
        """What a run that is taken up has to say of the machine, if that is another now.

        Raises:
            InputError: it is, and that is not allowed.
        """
        before = self._before(folder)
        if before is None or not has_checkpoint(folder / "checkpoints"):
            return []
        other = list(_differences({**before["machines"][-1], "from_step": 0}, {"from_step": 0, **self.machine}))
        if not other:
            return []
        what = ", ".join(other)
        if not allowed:
            remedy = (
                "Resume as before, or add --allow-other-machine (in Python allow_other_machine=True); the result then "
                "differs from that of an uninterrupted run"
            )
            raise InputError(folder, f"the run was computed differently before: {what}", remedy)
        return [f"is resumed in another way, so its result differs from that of an uninterrupted run: {what}"]

    def longer(self, folder: Path, schedule: OneCycle, progress: Progress) -> list[str]:
        """What it means for the schedule that a run is longer than it was begun."""
        before, now = self._before(folder), int(self.recipe["steps"])
        step = progress.step - progress.skipped
        if before is None or before["recipe"]["steps"] >= now or not 0 < step < now:
            return []
        old = int(before["recipe"]["steps"])
        rates = [replace(schedule, total_steps=n).lr_and_beta1(min(step, n - 1))[0][0] for n in (old, now)]
        return [
            f"was started with {old} steps and now has {now}: from step {progress.step} on, it follows the one-cycle "
            f"schedule of {now} steps, so the learning rate goes from {rates[0]:.2e} to {rates[1]:.2e}; a run started "
            f"with {now} steps would have had other rates up to here"
        ]

    def write(self, folder: Path, step: int) -> None:
        """To be called once the run has been found to be the same; ``step`` is the first one to be done."""
        before = self._before(folder) if step else None
        machines = [] if before is None else [one for one in before["machines"] if one["from_step"] < step]
        if not machines or machines[-1] != {**self.machine, "from_step": machines[-1]["from_step"]}:
            machines.append({"from_step": step, **self.machine})
        write_json(folder / _FILE, {"recipe": self.recipe, "data": self.data, "machines": machines})

    @staticmethod
    def _before(folder: Path) -> dict[str, Any] | None:
        """What stands in the folder; None where nothing does, as in a run of ditr 0.1.

        Raises:
            InputError: a damaged file.
        """
        path = folder / _FILE
        if not path.exists():
            return None
        content = read_json(path, _ANYWAY)
        try:
            if all(isinstance(content[name], kind) for name, kind in _PARTS) and content["machines"]:
                return dict(content)
            fault = "a part is missing"
        except (KeyError, TypeError) as error:
            fault = str(error)
        raise InputError(path, f"it cannot be read ({fault})", _ANYWAY)


_PARTS = (("recipe", dict), ("data", dict), ("machines", list))


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _start(recipe: Recipe) -> str | None:
    """Digest of the weights that a recipe starts from."""
    if recipe.init is None:
        return None
    from ditr.weights.pretrained import find_model

    path = find_model(recipe.init) / "model.safetensors"
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(path, f"it cannot be read ({error.strerror})", "Name the folder of a trained model") from None


def _fingerprint(scenes: Scenes) -> list[list[str]]:
    """Of captures, what their cameras are; of a prepared dataset, which scenes it has."""
    if not isinstance(scenes, Sequence):
        return [[scenes.name, *scenes.names()]]
    return [fingerprint(capture) for capture in scenes]


def _machine(run: TrainingRun, fabric: Fabric) -> dict[str, Any]:
    device, precision = fabric.device, str(fabric.strategy.precision.precision)
    kernels = describe_kernels(str(device))
    on_gpu = device.type == "cuda"
    return {
        "device": device.type,
        "processor": torch.cuda.get_device_name(device) if on_gpu else torch.backends.cpu.get_cpu_capability(),
        "precision": precision,
        "threads": torch.get_num_threads(),
        "processes": fabric.world_size,
        "deterministic": run.deterministic,
        "attention": getattr(kernels, _ATTENTION.get(precision, "attention_fp32")),
        "matmul_precision": kernels.matmul_precision,
        "linear_algebra": kernels.linear_algebra,
        "products": kernels.products,
        "torch": torch.__version__,
    }


def _differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """``optimizer.lr was 0.006 and is 0.001``, by place."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in [*before, *(name for name in now if name not in before)]:
            yield from _differences(before.get(name), now.get(name), f"{place}.{name}" if place else name)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now) and place == "datasets":
        for index, (then, after) in enumerate(zip(before, now, strict=True)):
            yield from _differences(then, after, f"{place}.{index}")
    elif before != now:
        yield f"{place} was {_short(before)} and is {_short(now)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:40]}..."


def _other_data(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    then = {name: {scene[0]: scene for scene in scenes} for name, scenes in before["scenes"]}
    for name, scenes in now["scenes"]:
        title = "validation scenes" if name == "validation" else f"training scenes {name}".strip()
        was, is_now = then.get(name, {}), {scene[0]: scene for scene in scenes}
        parts = {
            "without": [scene for scene in was if scene not in is_now],
            "with": [scene for scene in is_now if scene not in was],
            "changed since:": [scene for scene in is_now if scene in was and was[scene] != is_now[scene]],
        }
        for what, names in parts.items():
            if names:
                yield f"{title} {what} {few(names, 3)}"
        if was != is_now and not any(parts.values()):
            yield f"{title} in another order"
    yield from _differences(before["classes"], now["classes"], "classes")
    yield from _differences(before["reading"], now["reading"], "reading")
