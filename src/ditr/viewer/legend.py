"""The legend: a row for each class that occurs, with its colour and its number of points, which hides and shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.viewer.layers import Layer

__all__ = ["Legend"]

_MOST_ROWS = 80
_ALL = "all"


class Legend:
    """Rows of classes in the page.

    Args:
        gui: of viser; the rows go where it adds things now.
        changed: called after somebody hid, showed or recoloured a class.
    """

    def __init__(self, gui: Any, changed: Callable[[], None]) -> None:
        self._gui, self._changed = gui, changed
        self._layers: tuple[Layer, ...] = ()
        self._off: dict[str, bool] = {}
        self._own: dict[str, tuple[int, int, int]] = {}
        self._rows: list[tuple[str, Any]] = []
        self._quiet = False
        self._folder = gui.add_folder("Classes")
        with self._folder:
            self._style = gui.add_html("")
            self._only = gui.add_dropdown("Only", (_ALL,), hint="Show one class and hide the others")
            with gui.add_folder("Colours", expand_by_default=False) as self._colors:
                self._which = gui.add_dropdown("Class", ("",))
                self._color = gui.add_rgb("Colour", (128, 128, 128))
        self._only.on_update(lambda _: self._isolate())
        self._which.on_update(lambda _: self._show_color())
        self._color.on_update(lambda event: self._recolor(event))

    def of(self, *layers: Layer) -> None:
        """Show the classes of layers, those of both sides where there are two; without one no classes."""
        self._layers = layers
        self._folder.visible = bool(layers)
        if not layers:
            return
        counts = [_counted(layer) for layer in layers]
        everywhere = Counter[str]()
        for count in counts:
            everywhere.update(count)
        names = [name for name, count in everywhere.most_common(_MOST_ROWS) if count > 0]
        if names != [name for name, _ in self._rows]:
            self._rebuild(names)
        for name, row in self._rows:
            row.label = f"{name}  ·  {'  |  '.join(f'{count.get(name, 0):,}' for count in counts)}"
        self._paint()

    def shown(self, side: int = 0) -> NDArray[np.bool_] | None:
        """(N,) whether each point's class is shown on a side; None where nothing is hidden."""
        layer = self._layers[min(side, len(self._layers) - 1)] if self._layers else None
        if layer is None or layer.group is None or not any(self._off.get(name) for name in layer.names):
            return None
        shown: NDArray[np.bool_] = np.array([not self._off.get(name, False) for name in layer.names])[layer.group]
        return shown

    def colors_of(self, layer: Layer) -> NDArray[np.uint8]:
        """(K + 1, 3) of the groups, as they were recoloured here."""
        assert layer.group_colors is not None
        table = layer.group_colors.copy()
        for group, name in enumerate(layer.names):
            if name in self._own:
                table[group] = self._own[name]
        return table

    def _table(self) -> dict[str, list[int]]:
        """Colours by name."""
        table: dict[str, list[int]] = {}
        for layer in reversed(self._layers):
            table.update(zip(layer.names, self.colors_of(layer).tolist(), strict=True))
        return table

    def _rebuild(self, names: list[str]) -> None:
        self._quiet = True
        for _, row in self._rows:
            row.remove()
        self._rows = []
        with self._folder:
            for place, name in enumerate(names):
                row = self._gui.add_checkbox(name, not self._off.get(name, False), order=place - 1000.0)
                row.on_update(lambda event, name=name: self._switch(name, event.target.value))
                self._rows.append((name, row))
        self._only.options = (_ALL, *names)
        self._only.value = _ALL
        self._which.options = tuple(names) or ("",)
        self._quiet = False
        self._show_color()

    def _paint(self) -> None:
        """The boxes of the rows get the colours of their classes, and stand before the names.

        This is the page's look alone: where a later viser names things otherwise, the rows are plain checkboxes.
        """
        table = self._table()
        each = ",".join(f'[for="{row._impl.uuid}"]' for _, row in self._rows)
        line = f"div:has(>div>p>label:is({each}))"
        rules = [
            f"{line}{{flex-direction:row-reverse;justify-content:flex-end;margin-bottom:-0.3em}}",
            f"{line}>div:first-child{{width:auto!important;padding-left:0.6em}}",
            f"{line}>div:last-child{{flex-grow:0!important}}",
            f"{line} p{{letter-spacing:0!important;color:inherit!important}}",
            f"{line} label{{display:block;max-width:19em;overflow-wrap:anywhere}}",
        ]
        for name, row in self._rows:
            red, green, blue = table[name]
            box = f'[id="{row._impl.uuid}"]'
            rules.append(f"{box}{{border-color:rgb({red},{green},{blue})!important;border-width:2px}}")
            rules.append(f"{box}:checked{{background:rgb({red},{green},{blue})!important}}")
        self._style.content = f"<style>{''.join(rules)}</style>"

    def _switch(self, name: str, on: bool) -> None:
        if not self._quiet:
            self._off[name] = not on
            self._changed()

    def _isolate(self) -> None:
        if self._quiet:
            return
        chosen, self._quiet = self._only.value, True
        for name, row in self._rows:
            self._off[name] = chosen not in (_ALL, name)
            row.value = not self._off[name]
        self._quiet = False
        self._changed()

    def _show_color(self) -> None:
        if not self._layers or self._quiet:
            return
        table = self._table()
        if self._which.value in table:
            red, green, blue = table[self._which.value]
            self._color.value = (red, green, blue)

    def _recolor(self, event: Any) -> None:
        # What the page itself has set, to show a class' colour, comes without a browser.
        if self._quiet or event.client is None or not self._which.value:
            return
        red, green, blue = (int(part) for part in event.target.value)
        self._own[self._which.value] = (red, green, blue)
        self._paint()
        self._changed()


def _counted(layer: Layer) -> dict[str, int]:
    """Points by class."""
    assert layer.group is not None
    count = np.bincount(layer.group, minlength=len(layer.names))
    return dict(zip(layer.names, count.tolist(), strict=True))
