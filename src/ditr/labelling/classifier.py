"""A classifier that learns from a handful of cells: logistic regression with a kernel.

How alike two cells are is the sum of kernels: of their image features (exponential in the cosine), of their shape
(Gaussian), within one scene of where they are (Gaussian, ten cells wide), and of what a network finds of them, where
there is one (exponential in the cosine). Few clicks and many numbers per cell
call for it: the fit has as many unknowns as there are clicks, and each kernel alone says something that the others do
not know. What they are worth is measured with ``benchmarks/clicks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ditr.labelling.cells import Cells

__all__ = [
    "Classifier",
    "Examples",
    "Kernel",
    "KernelTable",
    "centred",
    "image_center",
    "network_usual",
    "smoothed",
    "softmax",
    "standing_out",
]

_Number = TypeVar("_Number", bound=np.floating[Any])
_JITTER = 1e-4
"""Added to the diagonal of the kernel: two clicks into one cell would make it singular."""
_STEPS = 60
_PASSES = 8
"""How often a cell's probabilities are averaged with those of its neighbours."""


@dataclass(frozen=True)
class Kernel:
    """How alike two cells are.

    Attributes:
        image: weight of the image features; 0 to do without them.
        temperature: of the exponential in the cosine of two image features.
        shape: weight of the shape.
        length: of the Gaussian in the shape, in deviations and per root of the number of its columns.
        place: weight of where they are, within a scene; 0 for a classifier that goes to other scenes.
        reach: of the Gaussian in the place, in edges of cells.
        network: weight of what a network finds; nothing where there is none.
        network_temperature: of the exponential in the cosine of that. A network knows the scenes of its training by
            heart, so that a low one would trust it more than it deserves elsewhere.
        penalty: of large coefficients.
    """

    image: float = 1.0
    temperature: float = 0.3
    shape: float = 1.0
    length: float = 0.7
    place: float = 0.5
    reach: float = 10.0
    network: float = 0.5
    network_temperature: float = 2.0
    penalty: float = 0.1


@dataclass(frozen=True, eq=False)
class Examples:
    """Cells of which the class is known.

    Attributes:
        image: (n, D) float32, of unit length and centred; zeros for cells that no photograph shows.
        seen: (n,) bool, whether one does.
        shape: (n, S) float32.
        place: (n, 3) float32 in edges of cells, or None for examples of other scenes.
        network: (n, P) float32, of unit length, by the deviations of its columns; None without a network.
    """

    image: NDArray[np.float32]
    seen: NDArray[np.bool_]
    shape: NDArray[np.float32]
    place: NDArray[np.float32] | None
    network: NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls,
        cells: Cells,
        rows: NDArray[np.int64] | slice,
        center: NDArray[np.float32] | None = None,
        usual: NDArray[np.float32] | None = None,
    ) -> Examples:
        """Some cells of a scene.

        Args:
            cells: of the scene.
            rows: which.
            center: (D,) what is taken off the image features; None for the mean of the scene's own.
            usual: (2, P) mean and deviation of what the network finds; None for those of the scene's own.
        """
        network = None
        if cells.network.shape[1]:
            network = standing_out(cells.network[rows], network_usual(cells) if usual is None else usual)
        image = centred(cells.image[rows], cells.seen[rows], image_center(cells) if center is None else center)
        place = ((cells.coord[rows] - cells.coord[:1]) / cells.size).astype(np.float32)
        return cls(image, cells.seen[rows], cells.shape[rows], place, network)

    def some(self, rows: NDArray[np.int64] | slice) -> Examples:
        """Some of them."""
        place = None if self.place is None else self.place[rows]
        network = None if self.network is None else self.network[rows]
        return Examples(self.image[rows], self.seen[rows], self.shape[rows], place, network)

    def in_double(self) -> Examples:
        """The same numbers in double precision: a kernel in single precision may have negative eigenvalues."""
        parts = (self.image, self.shape, self.place, self.network)
        image, shape, place, network = (None if part is None else part.astype(np.float64) for part in parts)
        return Examples(image, self.seen, shape, place, network)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.shape)


def image_center(cells: Cells) -> NDArray[np.float32]:
    """(D,) mean image feature of the cells that a photograph shows."""
    if not cells.seen.any():
        return np.zeros(cells.image.shape[1], np.float32)
    return np.asarray(cells.image[cells.seen].mean(axis=0, dtype=np.float64), dtype=np.float32)


def network_usual(cells: Cells) -> NDArray[np.float32]:
    """(2, P) mean and deviation of what a network finds of a scene's cells."""
    found = cells.network.astype(np.float64)
    return np.stack([found.mean(axis=0), found.std(axis=0)]).astype(np.float32)


def standing_out(network: NDArray[np.float32], usual: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a network finds of cells, less what is usual, by how much it varies; of unit length."""
    moved: Any = (network - usual[0]) / np.maximum(usual[1], np.float32(1e-6))
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    result: NDArray[np.float32] = moved / np.where(length > 1e-9, length, np.float32(1))
    return result


def centred(image: NDArray[np.float32], seen: NDArray[np.bool_], center: NDArray[np.float32]) -> NDArray[np.float32]:
    """Image features without what all have in common, of unit length; zeros where nothing is seen."""
    moved: Any = image - center
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    result: NDArray[np.float32] = moved / np.where(length > 1e-9, length, np.float32(1)) * seen[:, None]
    return result


def likeness(kernel: Kernel, one: Examples, two: Examples) -> NDArray[np.float32]:
    """(n, m) the kernel between two lists of cells."""
    result = np.zeros((len(one), len(two)), one.shape.dtype)
    if kernel.image and one.image.shape[1]:
        cosine = one.image @ two.image.T
        cosine -= 1
        cosine /= kernel.temperature
        np.exp(cosine, out=cosine)
        # A cell without photographs is like none by its image.
        cosine *= kernel.image
        cosine *= one.seen[:, None]
        cosine *= two.seen
        result += cosine
    if kernel.shape and one.shape.shape[1]:
        result += kernel.shape * _gaussian(one.shape, two.shape, kernel.length * one.shape.shape[1] ** 0.5)
    if kernel.network and one.network is not None and two.network is not None:
        alike = one.network @ two.network.T
        alike -= 1
        alike /= kernel.network_temperature
        np.exp(alike, out=alike)
        alike *= kernel.network
        result += alike
    if kernel.place and one.place is not None and two.place is not None:
        result += kernel.place * _gaussian(one.place, two.place, kernel.reach)
    return result


def _gaussian(one: NDArray[np.float32], two: NDArray[np.float32], length: float) -> NDArray[np.float32]:
    squares: Any = one @ two.T
    squares *= -2
    squares += np.square(one).sum(axis=1)[:, None]
    squares += np.square(two).sum(axis=1)
    np.maximum(squares, 0, out=squares)  # which rounding may take below
    squares *= -0.5 / (length * length)
    result: NDArray[np.float32] = np.exp(squares, out=squares)
    return result


@dataclass(frozen=True, eq=False)
class Classifier:
    """What was learned from some examples.

    Attributes:
        kernel: see there.
        examples: n cells.
        label: (n,) int64, their classes.
        weight: (n, C) float32.
        bias: (C,) float32; -inf for a class without examples.
    """

    kernel: Kernel
    examples: Examples
    label: NDArray[np.int64]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def fit(cls, kernel: Kernel, examples: Examples, label: NDArray[np.int64], classes: int) -> Classifier:
        """Logistic regression; each class counts the same, however many examples it has.

        Args:
            kernel: how alike cells are.
            examples: n cells.
            label: (n,) their classes, 0 to C - 1.
            classes: C.
        """
        exact = examples.in_double()
        likes = likeness(kernel, exact, exact).astype(np.float64)
        weight, bias = _solve(likes, label, classes, kernel.penalty)
        return cls(kernel, examples, label, weight, bias)

    def scores(self, table: NDArray[np.float32]) -> NDArray[np.float32]:
        """(M, C) logits of cells, of their (M, n) likeness to the examples."""
        result: NDArray[np.float32] = table @ self.weight + self.bias
        return result


def _solve(
    likes: NDArray[np.float64], label: NDArray[np.int64], classes: int, penalty: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, C) weights and (C,) biases.

    The curvature of the softmax is never more than half of its value for one class (Boehning's bound), so that one
    factorisation serves all steps, and each step is downhill.
    """
    n = len(label)
    there = np.flatnonzero(np.bincount(label, minlength=classes))
    target = (label[:, None] == there).astype(np.float64)
    share = 1 / (target.sum(axis=0)[target.argmax(axis=1)] * len(there))
    # In the basis of the factor the penalty is a sum of squares; the last column is the bias, with hardly any.
    factor = np.linalg.cholesky(likes + _JITTER * np.eye(n))
    design = np.column_stack([factor, np.ones(n)])
    ridge = np.full(n + 1, penalty / n)
    ridge[-1] = 1e-6
    curvature = np.linalg.inv(0.5 * (design * share[:, None]).T @ design + np.diag(ridge))
    white = np.zeros((n + 1, len(there)))
    ahead = white
    for step in range(_STEPS):
        chance = softmax(design @ ahead)
        slope = design.T @ (share[:, None] * (chance - target)) + ridge[:, None] * ahead
        new = ahead - curvature @ slope
        # Nesterov's momentum.
        ahead = new + step / (step + 3) * (new - white)
        white = new
    weight = np.zeros((n, classes), np.float32)
    bias = np.full(classes, -np.inf, np.float32)
    weight[:, there] = np.linalg.solve(factor.T, white[:-1])
    bias[there] = white[-1]
    return weight, bias


class KernelTable:
    """The likeness of all cells of a scene to the examples, which grows by a column for each of them.

    Args:
        kernel: how alike cells are.
        cells: of the scene.
        center: as for :meth:`Examples.of`.
        usual: the same.
    """

    def __init__(
        self,
        kernel: Kernel,
        cells: Cells,
        center: NDArray[np.float32] | None = None,
        usual: NDArray[np.float32] | None = None,
    ) -> None:
        self.kernel = kernel
        self.all = Examples.of(cells, slice(None), center, usual)
        self._columns = np.empty((0, len(cells)), np.float32)
        self._known = 0

    def to(self, examples: Examples) -> NDArray[np.float32]:
        """(M, n); what was asked for before is not computed again, as long as examples are only added to it."""
        known, wanted = min(self._known, len(examples)), len(examples)
        if wanted > len(self._columns):
            # With room for as many again: a click more does not copy the columns of all before it.
            grown = np.empty((max(wanted, 2 * len(self._columns)), len(self.all)), np.float32)
            grown[:known] = self._columns[:known]
            self._columns = grown
        if known < wanted:
            self._columns[known:wanted] = likeness(self.kernel, examples.some(slice(known, None)), self.all)
        self._known = wanted
        return self._columns[:wanted].T

    def forget(self, first: int) -> None:
        """Drop the columns from ``first`` on, after examples have changed."""
        self._known = min(self._known, first)


def softmax(scores: NDArray[_Number]) -> NDArray[_Number]:
    """(M, C) probabilities of logits."""
    result: NDArray[_Number] = scores - scores.max(axis=1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=1, keepdims=True)
    return result


def smoothed(cells: Cells, probability: NDArray[np.float32], passes: int = _PASSES) -> NDArray[np.float32]:
    """(M, C) probabilities, averaged with those of the nearest cells again and again."""
    for _ in range(passes):
        probability = cells.around @ probability
    return probability
