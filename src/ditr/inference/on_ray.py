"""Many scenes on the machines of a Ray cluster, by Ray Data: actors hold the model, and each labels and writes scenes.

Ray keeps as many scenes on their way as there are places for them, and begins those of a machine that is lost again
elsewhere. A scene whose results are there already is not labelled again, so none is done twice.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import Finding, Grade, InputError
from ditr.inference.ledger import earlier, made_with
from ditr.inference.network_labeller import NetworkLabeller, NetworkSteps
from ditr.inference.scene_work import Failed, Item, SceneWork, Written, label_one
from ditr.inference.segmenter import Segmenter
from ditr.runtime import showing

__all__ = ["ModelOnRay", "label_on_ray", "require_ray"]

_PER_GPU = 2
"""Actors that share a GPU: one prepares while the network of the other computes."""
_MOST_BLOCKS = 2000
"""Parts into which Ray cuts the list of scenes; what is lost with a machine is a part."""


@dataclass(frozen=True)
class ModelOnRay:
    """How each actor gets the model, and how many there are.

    Attributes:
        name: of the model, which every machine has to reach under this name.
        device: "cpu", "cuda", or "auto" for a GPU where the cluster has one.
        precision: of the image encoder.
        address: of a cluster, as "auto" or "ray://host:10001"; None for that of ``RAY_ADDRESS``, or this machine alone.
        cpus: processors of each actor, and so threads of its network.
    """

    name: str
    device: str = "auto"
    precision: str | None = None
    address: str | None = None
    cpus: int = 1


def label_on_ray(
    model: ModelOnRay, work: SceneWork, items: Sequence[Item], stop: Callable[[], bool]
) -> Iterator[tuple[Item, Written | Failed]]:
    """Results as they come; no more are waited for once it is asked to stop.

    Args:
        model: for the actors.
        work: of all scenes; its folder has to be one that every machine sees.
        items: that are read from paths which every machine sees.
        stop: asked after each scene.

    Raises:
        InputError: Ray is not installed or cannot be reached, or scenes are in memory.
    """
    if not items:
        return
    if any(not isinstance(item.source, Path) for item in items):
        raise InputError("ray", "scenes in memory cannot be given to other machines", "Name files or folders")
    with _connected(model.address) as ray:
        resources = ray.cluster_resources()
        device = model.device if model.device != "auto" else "cuda" if resources.get("GPU") else "cpu"
        needs = {"num_cpus": model.cpus} | ({"num_gpus": 1 / _PER_GPU} if device == "cuda" else {})
        places = int(resources.get("CPU", 1) // model.cpus)
        if device == "cuda":
            places = min(places, int(resources.get("GPU", 0) * _PER_GPU))
        if not places:
            raise InputError("ray", f"the cluster has no room for an actor ({needs})", "Add a machine, or --device cpu")
        rows = [
            {"number": number, "name": item.name, "source": os.path.abspath(str(item.source))}
            for number, item in enumerate(items)
        ]
        dataset = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS)).map(
            _Labeller,
            fn_constructor_kwargs={"model": model, "device": device, "work": work},
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(places, len(rows))),
            **needs,
        )
        for row in dataset.iter_rows():
            yield items[row["number"]], _result(json.loads(row["result"]))
            if stop():
                return


class _Labeller:
    """An actor: the model, loaded once, and what it does with a scene."""

    def __init__(self, model: ModelOnRay, device: str, work: SceneWork) -> None:
        import torch

        torch.set_num_threads(model.cpus)
        known = work.steps.known if isinstance(work.steps, NetworkSteps) else None
        shared = None if known is None else known.cache
        cache = None if shared is None else FeatureCache(shared.folder, shared.max_bytes)
        segmenter = Segmenter.from_pretrained(model.name, device=device, cache=cache, precision=model.precision)
        self._labeller, self._work = NetworkLabeller(segmenter), work
        made = made_with(self._labeller, work.reading, work.how, work.outputs)
        self._fault = (
            None if made == work.made else f"{model.name} differs from the model on the machine that started the work"
        )

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        item = Item(row["name"], Path(row["source"]))
        with showing(quiet=True, log=None):
            return {"number": row["number"], "result": json.dumps(_plain(self._labelled(item)))}

    def _labelled(self, item: Item) -> Written | Failed:
        if self._fault is not None:
            return Failed(InputError(f"machine {os.uname().nodename}", self._fault, "Give all machines the same model"))
        if (found := earlier(self._work, item)) is not None and not found[1]:
            return Written(found[0], (), {})  # by an actor that was lost before it could say so
        return label_one(self._labeller, self._work, item)


# ---- on its way -----------------------------------------------------------------------------------------------------


def _plain(result: Written | Failed) -> dict[str, Any]:
    if isinstance(result, Written):
        findings = [
            [one.grade.value, one.about, one.text, one.remedy, dict(one.evidence), one.is_broken]
            for one in result.findings
        ]
        return {"summary": result.summary, "findings": findings, "seconds": result.seconds}
    error = result.error
    if isinstance(error, InputError):
        return {"error": [error.where, error.fault, error.remedy]}
    return {"of_the_disk": [error.errno, error.strerror, str(error.filename)]}


def _result(plain: Mapping[str, Any]) -> Written | Failed:
    if "error" in plain:
        return Failed(InputError(*plain["error"]))
    if "of_the_disk" in plain:
        return Failed(OSError(*plain["of_the_disk"]))
    findings = tuple(Finding(Grade(grade), *rest) for grade, *rest in plain["findings"])
    return Written(plain["summary"], findings, plain["seconds"])


def require_ray() -> Any:
    """The library Ray, with Ray Data.

    Raises:
        InputError: it is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise InputError("--ray", "Ray is not installed", "Install it: pip install 'ditr[ray]'") from None
    return ray


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected; what was connected before stays so.

    Raises:
        InputError: it is not installed, or there is no such cluster.
    """
    ray = require_ray()
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            text = " ".join(str(error).split())[:200]
            raise InputError("ray", f"no cluster can be reached ({text})", "Start one (`ray start --head`)") from None
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()
