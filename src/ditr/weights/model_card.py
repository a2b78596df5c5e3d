"""The card of a saved model: what it is, in the form that the Hugging Face hub shows."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Card", "model_card"]


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        network: the name of the 3D network.
        classes: of a segmentation model; none for a student.
        features: what a point brings along.
        voxel_size: metres.
        encoder: of the photographs; None for a model without images.
        teacher: of a student; None for a segmentation model.
        dataset: whose classes and conventions these are.
        source: where the weights come from.
        license: of the weights.
        parameters: how many there are.
    """

    network: str
    classes: tuple[str, ...]
    features: tuple[str, ...]
    voxel_size: float
    encoder: str | None
    teacher: str | None
    dataset: str | None
    source: str | None
    license: str | None
    parameters: int

    @property
    def method(self) -> str:
        """DITR where photographs are used, D-DITR for students, else the network's own name."""
        if self.teacher is not None:
            return "D-DITR, distilled"
        return "DITR" if self.encoder is not None else self.network


def model_card(card: Card) -> str:
    """Markdown with the hub's front matter."""
    front = ["---", "library_name: ditr", "tags:", "- point-cloud", "- semantic-segmentation"]
    if card.license is not None:
        front.append(f"license: {card.license}")
    title = card.method + (f", {card.dataset}" if card.dataset else "")
    rows = [
        ("3D network", f"{card.network}, {card.parameters:,} parameters"),
        ("Photographs", f"by {card.encoder}" if card.encoder else "none needed"),
        ("Teacher", card.teacher or ""),
        ("Features of a point", ", ".join(card.features)),
        ("Voxels", f"{card.voxel_size:g} m"),
        ("Classes", _classes(card.classes)),
        ("Weights from", card.source or ""),
        ("License", card.license or "not stated"),
    ]
    table = ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows if text)]
    return "\n".join([*front, "---", "", f"# {title}", "", *table, "", *_usage(card), ""])


def _classes(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 25} more, which config.json lists" if len(names) > 25 else ""
    return f"{len(names)}: {', '.join(names[:25])}{more}"


def _usage(card: Card) -> list[str]:
    if card.teacher is not None:
        return [
            "A network that predicts image features from points alone; it is made to be fine-tuned:",
            "",
            "```python",
            "from ditr import from_pretrained",
            "",
            'config, student = from_pretrained("PATH OR NAME OF THIS MODEL")',
            "model = student.to_segmentation(classes=20)",
            "```",
        ]
    return [
        "A label for every point of a capture:",
        "",
        "```python",
        "from ditr import Segmenter, read_capture",
        "",
        'segmenter = Segmenter.from_pretrained("PATH OR NAME OF THIS MODEL")',
        'segmenter(read_capture("CAPTURE")).save("LABELS")',
        "```",
    ]
