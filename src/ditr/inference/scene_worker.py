"""What a helping process does for a scene: all but the encoder and the network, which have the weights.

It keeps the scene meanwhile, so that only what is to be computed comes out and only what was computed goes back in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ditr.errors import InputError
from ditr.inference.faults import as_fault
from ditr.inference.parcel import Parcel
from ditr.inference.scene_work import Failed, Item, Labeller, SceneWork, Written, timed
from ditr.runtime import release_memory

__all__ = ["Finish", "Prepare", "SceneWorker", "computed"]


@dataclass(frozen=True, eq=False)
class Prepare:
    """The message: make this scene ready, and keep it under a number."""

    number: int
    item: Parcel[Item]


@dataclass(frozen=True, eq=False)
class Finish:
    """The message: this is what was computed for the scene of that number; write it. With an error, drop it."""

    number: int
    answer: Parcel[Any] | InputError
    seconds: dict[str, float]


@dataclass(eq=False)
class _Kept:
    item: Item
    content: Any
    seconds: dict[str, float]


class SceneWorker:
    """Prepares scenes, and keeps each until its labels are written."""

    def __init__(self, work: SceneWork) -> None:
        self._work = work
        self._kept: dict[int, _Kept] = {}

    def __call__(self, message: Prepare | Finish) -> Parcel[Any] | Written | Failed:
        """What became of a message; a scene's faults are values, so that other scenes go on."""
        if isinstance(message, Prepare):
            item = message.item.unpack()
            try:
                return Parcel.of(self._prepare(message.number, item))
            except Exception as error:
                self._kept.pop(message.number, None)
                return Failed(as_fault(error, item.name))
        kept = self._kept.pop(message.number)
        try:
            return self._finish(kept, message)
        except Exception as error:
            return Failed(as_fault(error, kept.item.name))
        finally:
            release_memory()

    def _prepare(self, number: int, item: Item) -> Any:
        seconds = dict[str, float]()
        with timed(seconds, "read"):
            scene = self._work.read(item)
        with timed(seconds, "prepare"):
            content, sent = self._work.steps.prepare(scene)
        self._kept[number] = _Kept(item, content, seconds)
        return sent

    def _finish(self, kept: _Kept, message: Finish) -> Written:
        seconds = kept.seconds | message.seconds
        if isinstance(message.answer, InputError):
            raise message.answer
        prediction = self._work.steps.finish(kept.content, message.answer.unpack(), seconds)
        with timed(seconds, "write"):
            summary = self._work.write(kept.item, prediction)
        return Written(summary, prediction.scene.findings, seconds)


def computed(labeller: Labeller, sent: Any, name: str) -> tuple[Parcel[Any] | InputError, dict[str, float]]:
    """What the weights say of a prepared scene, or why they cannot; and the seconds of each part."""
    seconds: dict[str, float] = {}
    try:
        return Parcel.of(labeller.compute(sent, seconds)), seconds
    except Exception as error:
        fault = as_fault(error, name)
        if isinstance(fault, OSError):  # of the cache or a library: no reason to stop
            fault = InputError(f"scene {name}", str(fault), "Free some memory")
        return fault, seconds
