"""How large the demo is, and what came out of it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from typing import Any

from ditr.io.settings_json import to_json_values
from ditr.io.wheel import WHEEL_SHA256
from ditr.recipes.captures import small
from ditr.training.recipe import Recipe
from ditr.worlds.rooms import CLASS_NAMES, RoomsConfig

__all__ = ["LONGER", "PRETRAINED", "RANDOM", "DemoResults", "DemoSettings"]

PRETRAINED = "dinov2-small-derived"
RANDOM = "random:dinov2-small"
LONGER = 2.5


@dataclass(frozen=True)
class DemoSettings:
    """How large the demo is; everything else is the small indoor recipe, which was chosen on rooms of seed 0."""

    train_rooms: int = 60
    test_rooms: int = 24
    views: int = 8
    steps: int = 160
    seed: int = 2
    long_baseline: bool = False

    def rooms(self) -> RoomsConfig:
        return RoomsConfig(train=self.train_rooms, test=self.test_rooms, views=self.views, seed=self.seed)

    def recipe(self, encoder: str | None, *, longer: bool = False) -> Recipe:
        steps = round(self.steps * LONGER) if longer else self.steps
        return replace(small("indoor"), encoder=encoder, steps=steps, seed=self.seed)


@dataclass(frozen=True)
class DemoResults:
    """What came out.

    Attributes:
        settings: of the demo.
        figures: evaluation by name: "ptv3", "ditr", "random_weights", "swapped_images" and perhaps "ptv3_long".
        seconds: of each job.
        rooms_seconds: of making the rooms.
        encoder_weights: which weights the encoders held.
        total_seconds: of everything, pictures aside.
    """

    settings: DemoSettings
    figures: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    rooms_seconds: float
    encoder_weights: dict[str, str]
    total_seconds: float

    def to_json(self) -> dict[str, Any]:
        """``results.json``; percentages."""
        figures = self.figures
        extra = {"ptv3_long": figures["ptv3_long"]} if "ptv3_long" in figures else {}
        return {
            "ptv3": figures["ptv3"],
            "ditr": figures["ditr"],
            "controls": {name: figures[name] for name in ("random_weights", "swapped_images")},
            **extra,
            "settings": to_json_values(self.settings),
            "recipe": to_json_values(self.settings.recipe(PRETRAINED)),
            "classes": list(CLASS_NAMES),
            "wheel_sha256": WHEEL_SHA256,
            "encoder_weights": self.encoder_weights,
            "seconds": {name: round(value, 1) for name, value in {**self.seconds, "rooms": self.rooms_seconds}.items()},
            "total_seconds": round(self.total_seconds, 1),
            "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        }
