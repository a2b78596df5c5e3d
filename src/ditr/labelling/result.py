"""Labels from clicks and from banks, in the form in which labels of networks are written and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.orientation import find_up
from ditr.inference.prediction import Prediction
from ditr.labelling.bank import Bank
from ditr.labelling.cells import Cells
from ditr.labelling.session import Session
from ditr.scene import Scene

__all__ = ["labelled_by_bank", "prediction_of"]


def prediction_of(session: Session, least: float = 0.0, *, seed: int = 0) -> Prediction:
    """The labels of a session; points of a lower probability than ``least`` get -1."""
    label, chance = session.of_points()
    said = sum(action.gesture != "lock" for action in session.actions)
    made = {"by": "clicks", "clicks": said}
    prediction = _prediction(session.scene, session.cells, label, chance, session.classes, made, seed)
    return prediction.at_least(least) if least > 0 else prediction


def labelled_by_bank(bank: Bank, scene: Scene, cells: Cells, *, seed: int = 0) -> Prediction:
    """The labels that a bank gives a scene; points that are unlike everything in it get -1.

    Raises:
        InputError: as for :meth:`Bank.label_cells`.
    """
    found = bank.label_cells(cells)
    chance = np.where(found.label < 0, np.float32(0), found.probability.max(axis=1))
    label, of_point = found.label[cells.of_point], cells.of_point
    return _prediction(scene, cells, label, chance[of_point], bank.classes, {"by": "bank"}, seed)


def _prediction(
    scene: Scene,
    cells: Cells,
    label: NDArray[np.int32],
    chance: NDArray[np.float32],
    classes: Sequence[str],
    made: Mapping[str, Any],
    seed: int,
) -> Prediction:
    x, y, z = (float(value) for value in find_up(scene))
    encoder = None if cells.encoder is None else cells.encoder.weights
    return Prediction(
        scene=scene,
        label=label,
        confidence=chance.astype(np.float32),
        seen_by=None if cells.encoder is None else cells.seen[cells.of_point].astype(np.int64),
        class_names=tuple(classes),
        voxels=len(cells),
        up=(x, y, z),
        seed=seed,
        made={**made, "encoder": encoder, "cell": cells.size},
    )
