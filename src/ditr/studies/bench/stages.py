"""Where the time goes: functions and modules with a clock around them, each without what is inside it.

The clocks cost time themselves, so a pass with them is never the one whose latency is reported.
"""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["Stages"]


class Stages:
    """Seconds by stage. Stages may lie within one another: an outer one is told without the inner ones.

    Args:
        device: on a GPU a stage ends when all that it asked for is done.
    """

    def __init__(self, device: str) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[tuple[str, float, list[float]]] = []

    def begin(self, name: str) -> None:
        self._open.append((name, self._now(), [0.0]))

    def end(self) -> None:
        name, began, inside = self._open.pop()
        whole = self._now() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + whole - inside[0]
        if self._open:
            self._open[-1][2][0] += whole

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage of what is done inside."""
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def module(self, module: nn.Module, name: str) -> None:
        """Every call of a module is a stage from now on."""

        def before(*_: object) -> None:
            self.begin(name)

        def after(*_: object) -> None:
            self.end()

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    def network(self, model: nn.Module) -> None:
        """Stem, stages and head of a model whose backbone has these."""
        backbone: Any = model.backbone
        self.module(backbone.stem, "stem")
        for kind in ("encoder", "decoder"):
            for number, stage in enumerate(getattr(backbone, kind)):
                self.module(stage, f"{kind} {number}")
        head: Any = getattr(model, "head", None) or getattr(model, "projection", None)
        self.module(head, "head")

    def function(self, where: str, name: str) -> None:
        """Every call of ``module:function`` or ``module:Class.method`` is a stage, whoever has imported it."""
        home, _, path = where.partition(":")
        owner: Any = importlib.import_module(home)
        *classes, last = path.split(".")
        for part in classes:
            owner = getattr(owner, part)
        original = getattr(owner, last)
        timed = self._timed(original, name)
        setattr(owner, last, timed)
        if not classes:
            for module in [module for key, module in sys.modules.items() if key.startswith("ditr.")]:
                for attribute, value in list(vars(module).items()):
                    if value is original:
                        setattr(module, attribute, timed)

    def _timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return function(*args, **kwargs)

        return timed

    def _now(self) -> float:
        if self._device.startswith("cuda"):
            torch.cuda.synchronize()
        return time.perf_counter()
