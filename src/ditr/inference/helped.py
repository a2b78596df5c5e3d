"""Scenes are made ready ahead, and written, by helping processes, while this one runs the encoder and the network."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ditr.errors import InputError
from ditr.inference.parcel import Parcel
from ditr.inference.processes import Answer, Died, Helpers
from ditr.inference.scene_work import Failed, Item, Labeller, SceneWork, Written
from ditr.inference.scene_worker import Finish, Prepare, SceneWorker, computed

__all__ = ["label_with_helpers"]

AHEAD = 2
"""Scenes that a helper has at most: one that is ready, one that it works on. So memory is bounded."""
TRIES = 2
"""How often a scene is begun with which a process died: it may have been the scene beside it that took the memory."""

Result = tuple[Item, Written | Failed]


def label_with_helpers(
    labeller: Labeller, work: SceneWork, items: Sequence[Item], helpers: Helpers, stop: Callable[[], bool]
) -> Iterator[Result]:
    """Results as they come; no new scenes are taken once it is asked to stop.

    Raises:
        InputError: processes cannot start here.
    """
    helpers.equip(SceneWorker, work)
    desk = _Desk(helpers, items)
    while True:
        if stop():
            desk.waiting.clear()
        desk.hand_out()
        if desk.ready:
            number, prepared = desk.ready.popleft()
            found, seconds = computed(labeller, prepared, items[number].name)
            helpers.tell(desk.holder[number], Finish(number, found, seconds))
        elif not desk.holder:
            return
        # The network does not wait for helpers as long as there is something for it.
        for answer in list(helpers.answers(wait=not desk.ready)):
            yield from desk.take(answer)


class _Desk:
    """Which scene is where.

    Attributes:
        waiting: numbers of scenes that nobody has.
        holder: the helper that has a scene.
        ready: scenes that wait for the network.
    """

    def __init__(self, helpers: Helpers, items: Sequence[Item]) -> None:
        self._helpers, self._items = helpers, items
        self.waiting = deque(range(len(items)))
        self.holder: dict[int, int] = {}
        self.ready: deque[tuple[int, Any]] = deque()
        self._deaths: Counter[int] = Counter()

    def hand_out(self) -> None:
        """Give scenes to the helpers that have the fewest."""
        load = Counter(self.holder.values())
        while self.waiting:
            helper = min(range(len(self._helpers)), key=lambda number: load[number])
            if load[helper] >= AHEAD:
                return
            number = self.waiting.popleft()
            self.holder[number] = helper
            load[helper] += 1
            self._helpers.tell(helper, Prepare(number, Parcel.of(self._items[number])))

    def take(self, answer: Answer | Died) -> Iterator[Result]:
        """Note what came back; scenes that are through are given on."""
        if isinstance(answer, Died):
            yield from self._bury(answer)
            return
        number, content = answer.message.number, answer.content
        if isinstance(content, Parcel):
            self.ready.append((number, content.unpack()))
        else:
            del self.holder[number]
            yield self._items[number], content

    def _bury(self, dead: Died) -> Iterator[Result]:
        """What a dead helper had is begun again; the scene that it was at, not more often than it may be."""
        self.ready = deque((number, prepared) for number, prepared in self.ready if self.holder[number] != dead.helper)
        again = [number for number, helper in self.holder.items() if helper == dead.helper]
        for number in again:
            del self.holder[number]
        if dead.at is not None:
            culprit = dead.at.number
            self._deaths[culprit] += 1
            if self._deaths[culprit] >= TRIES:
                again.remove(culprit)
                fault = f"the process that worked on it {dead.how}, {TRIES} times"
                remedy = "Use fewer --workers, or check this scene"
                yield self._items[culprit], Failed(InputError(f"scene {self._items[culprit].name}", fault, remedy))
        self.waiting.extendleft(reversed(again))
