"""Labels by clicks in the page: a point is clicked, its class named, and the labels of the whole scene follow."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ditr.captures.classes import LabelCounts
from ditr.errors import InputError
from ditr.labelling.clicks import Action, Clicks, Journal, scene_identity, write_clicks
from ditr.pictures.palette import GREY
from ditr.pictures.pca import fit_pca
from ditr.scene import View
from ditr.viewer.camera import fly
from ditr.viewer.layers import Layer, class_layer, confidence_layer
from ditr.viewer.look import Browser
from ditr.viewer.page import SMALL, Page
from ditr.viewer.stroke import Pixels

if TYPE_CHECKING:
    # They load torch, which takes longer than to show the page; whoever only looks does not wait for it.
    from ditr.encoders.encoding import CachedEncoding
    from ditr.labelling.cells import Cells
    from ditr.labelling.session import Session

__all__ = ["Desk", "Places"]

_CLASSES = ("floor", "wall", "object")
"""Names to begin with, where the scene has none."""
_NEAR = 40
"""Cells from which a point is looked at."""


@dataclass(frozen=True)
class Places:
    """Where the page writes; it asks no browser.

    Attributes:
        clicks: file of clicks.
        labels: folder of the labels.
        capture: folder of a capture with them.
        bank: file.
    """

    clicks: Path
    labels: Path
    capture: Path
    bank: Path


class Desk:
    """The tab in which a scene is labelled.

    Args:
        page: the page.
        places: where it writes.
        source: what the scene was read from.
        before: clicks of earlier, from the file.
        encoding: makes the image encoder; None to do without photographs.
        cell: metres, of the cubes that get one label each; None for the profile's.

    Raises:
        InputError: unsaved clicks of another scene lie where those of this one would.
    """

    def __init__(
        self,
        page: Page,
        places: Places,
        source: Path,
        before: Clicks | None,
        encoding: Callable[[], CachedEncoding] | None,
        cell: float | None = None,
    ) -> None:
        self._page, self._places, self._source, self._cell = page, places, source, cell
        scene = page.subject.scene
        self._encoding = encoding if scene.views else None
        self._before = before
        self._journal = Journal(places.clicks, scene_identity(scene))
        self._left = self._journal.unsaved()
        self._session: Session | None = None
        self._cells: Cells | None = None
        self._unsaved = False
        self._working = threading.Lock()
        self._written: set[Path] = set()
        self._mark: Any = None
        if self._encoding is not None:
            page.offer("image features", self._features)
        assert page.label_tab is not None
        with page.label_tab:
            self._panel(page.server.gui)
        page.on_point.append(self._take)

    # ---- the tab ----------------------------------------------------------------------------------------------------

    def _panel(self, gui: Any) -> None:
        subject = self._page.subject
        often = [name for name, _ in LabelCounts.of(subject.scene).by_frequency()]
        names = list(dict.fromkeys([*(self._before.classes if self._before else ()), *often]))
        self._start = gui.add_button("Start labelling", hint="Encodes the photographs first, once")
        self._start.on_click(lambda event: self._begin(event.client))
        self._said = gui.add_html("")
        self._folder = gui.add_folder("Clicks", visible=False)
        with self._folder:
            self._on = gui.add_checkbox("Click to label", True, hint="Off: clicks only turn and move the view")
            self._doubt = gui.add_checkbox("Show how sure", False, hint="Dark where the labels are a guess")
            self._name = gui.add_dropdown("Class", tuple(names or _CLASSES))
            self._new = gui.add_text("New class", "")
            add = gui.add_button("Add the class", color="gray")
            self._radius = gui.add_slider("Brush (m)", min=0.0, max=self._widest(), step=0.01, initial_value=0.0)
            least = gui.add_button(
                "Go to the least sure", color="gray", hint="Moves the camera to where a click helps most"
            )
            undo = gui.add_button("Undo", color="gray")
            lock = gui.add_button("Lock the class", color="gray", hint="Points that have this class now keep it")
        self._out = gui.add_folder("Write", visible=False)
        with self._out:
            save = gui.add_button("Save the clicks", hint=str(self._places.clicks))
            labels = gui.add_button("Labels", color="gray", hint=str(self._places.labels))
            capture = gui.add_button("Capture for training", color="gray", hint=str(self._places.capture))
            bank = gui.add_button("Bank of classes", color="gray", hint=str(self._places.bank))
        self._doubt.on_update(lambda _: self._page.choose("certainty" if self._doubt.value else "clicks"))
        add.on_click(lambda event: self._guarded(event.client, self._add_class))
        undo.on_click(lambda event: self._guarded(event.client, self._undo))
        lock.on_click(lambda event: self._guarded(event.client, self._lock))
        least.on_click(lambda event: self._go_to_least_sure(event.client))
        for button, write in ((save, self._save), (labels, self._write_labels), (capture, self._write_capture)):
            button.on_click(lambda event, write=write: self._write(event.client, write))
        bank.on_click(lambda event: self._write(event.client, self._write_bank))

    def _widest(self) -> float:
        return round(max(0.5, 0.02 * float(np.ptp(self._page.coord, axis=0).max())), 2)

    def _guarded(self, client: Any, work: Callable[[], None]) -> None:
        """Do it, alone, and say why where it cannot be done."""
        try:
            with self._page.browsers.lock:
                work()
        except (InputError, OSError) as error:
            text = error.told() if isinstance(error, InputError) else str(error)
            self._page.browsers.say(client, "That cannot be done", text, fault=True)

    # ---- the scene, looked at ---------------------------------------------------------------------------------------

    def _begin(self, client: Any) -> None:
        note = client.add_notification(
            "Preparing the scene", "This happens once; afterwards clicks are fast.", loading=True
        )
        try:
            self._looked_at()  # not under the lock: meanwhile the page goes on
            self._guarded(client, self._begin_session)
        except InputError as error:
            self._page.browsers.say(client, "This scene cannot be labelled", error.told(), fault=True)
        finally:
            note.remove()

    def _begin_session(self) -> None:
        if self._session is not None:
            return
        from ditr.labelling.session import Session

        scene = self._page.subject.scene
        session = Session(scene, self._looked_at())
        classes = self._before.classes if self._before is not None else ()
        if self._left is not None:
            session.replay(Clicks(scene_identity(scene), classes, self._left), str(self._journal.path))
            self._journal.add(session.actions)
            self._unsaved = True
        elif self._before is not None:
            session.replay(self._before, str(self._places.clicks))
        self._session = session
        self._start.visible = False
        self._folder.visible = self._out.visible = True
        self._spread()
        self._page.choose("clicks")
        if self._page.album is not None:
            self._page.album.let_draw(self._take_stroke)

    def _looked_at(self) -> Cells:
        """What photographs and shape say of the scene, once."""
        from ditr.labelling.cells import make_cells

        with self._working:
            if self._cells is None:
                encoding = None if self._encoding is None else self._encoding()
                self._cells = make_cells(self._page.subject.scene, encoding, size=self._cell)
            return self._cells

    def _features(self) -> Layer:
        cells = self._looked_at()
        colors = np.full((len(cells), 3), GREY, np.uint8)
        if cells.seen.any():
            image = cells.image[cells.seen]
            colors[cells.seen] = fit_pca(image).colors(image)
        note = "Three principal components of the image features; grey where no photograph shows a point."
        return Layer(colors=colors[cells.of_point], note=note)

    # ---- clicks -----------------------------------------------------------------------------------------------------

    def _take(self, browser: Browser, point: int) -> bool:
        """A point was clicked."""
        session = self._session
        if session is None or not self._on.value:
            return False
        scene, radius = self._page.subject.scene, float(self._radius.value)
        name = str(self._name.value)
        if radius > 0:
            x, y, z = (float(value) for value in scene.coord[point])
            session.do(Action(name, "ball", center=(x, y, z), radius=radius))
        else:
            session.do(Action(name, "point", point=point))
        self._noted()
        return True

    def _take_stroke(self, browser: Browser, view: View, pixels: Pixels) -> None:
        """A line was drawn in a photograph."""

        def work() -> None:
            if self._session is not None and self._on.value:
                self._session.do(Action(str(self._name.value), "stroke", view=view.name, pixels=thinned(pixels)))
                self._noted()

        self._guarded(browser.client, work)

    def _noted(self) -> None:
        """After the actions have changed: on the disk first, then in the page."""
        assert self._session is not None
        self._journal.add(self._session.actions)
        self._unsaved = True
        self._unmark()
        self._spread()

    def _spread(self) -> None:
        session = self._session
        assert session is not None
        label, chance = session.of_points()
        self._page.renew("certainty", confidence_layer(chance))
        self._page.renew("clicks", class_layer(label, tuple(session.classes)))
        self._tell()

    def _tell(self) -> None:
        assert self._session is not None
        count = sum(action.gesture != "lock" for action in self._session.actions)
        state = "not saved yet" if self._unsaved else "saved" if count else "nothing clicked yet"
        self._said.content = f'<div style="{SMALL}">{count} clicks, {state}</div>'

    def _add_class(self) -> None:
        name = str(self._new.value).strip()
        if not name or len(name) > 100:
            raise InputError("class", "it has no name" if not name else "its name is too long", "Type a short name")
        if name not in self._name.options:
            self._name.options = (*self._name.options, name)
        self._name.value = name
        self._new.value = ""

    def _undo(self) -> None:
        if self._session is not None and self._session.undo() is not None:
            self._noted()

    def _lock(self) -> None:
        if self._session is not None:
            self._session.do(Action(str(self._name.value), "lock"))
            self._noted()

    def _go_to_least_sure(self, client: Any) -> None:
        with self._page.browsers.lock:
            point = None if self._session is None else self._session.least_sure()
            if point is None or self._session is None:
                self._page.browsers.say(client, "Nothing is unsure", "Click once in two classes at least.")
                return
            place, cell = self._page.coord[point].astype(np.float64), self._session.cells.size
            self._unmark()
            self._mark = self._page.server.scene.add_icosphere(
                "/least_sure", radius=0.8 * cell, color=(225, 30, 120), position=place, opacity=0.7
            )
        if self._page.album is not None:
            self._page.album.leave(client)
        back = np.asarray(client.camera.position) - np.asarray(client.camera.look_at)
        fly(client, place + back / np.linalg.norm(back) * _NEAR * cell, place)

    def _unmark(self) -> None:
        if self._mark is not None:
            self._mark.remove()
            self._mark = None

    # ---- files ------------------------------------------------------------------------------------------------------

    def _write(self, client: Any, write: Callable[[Session], Path]) -> None:
        def work() -> None:
            assert self._session is not None
            path = write(self._session)
            self._written.add(path)
            self._page.browsers.say(client, "Written", str(path))

        self._guarded(client, work)

    def _free(self, path: Path) -> Path:
        """The place, or with a number behind its name where something is that this page did not write."""
        number, free = 1, path
        stem, end = (path.stem, path.suffix) if path == self._places.bank else (path.name, "")
        while free.exists() and free not in self._written:
            number += 1
            free = path.with_name(f"{stem}-{number}{end}")
        return free

    def _save(self, session: Session) -> Path:
        write_clicks(self._places.clicks, session.clicks())
        self._journal.clear()
        self._unsaved = False
        self._tell()
        return self._places.clicks

    def _write_labels(self, session: Session) -> Path:
        from ditr.inference.results import RESULT_FILES, Outputs, write_results
        from ditr.io.files import results_folder
        from ditr.labelling.result import prediction_of

        folder = self._free(self._places.labels)
        with results_folder(folder, RESULT_FILES) as new:
            write_results(prediction_of(session), new, Outputs(pictures=False), self._source)
        return folder

    def _write_capture(self, session: Session) -> Path:
        from ditr.captures.capture import write_capture
        from ditr.inference.labelled_captures import labelled_scene
        from ditr.labelling.result import prediction_of

        folder = self._free(self._places.capture)
        write_capture(labelled_scene(prediction_of(session)), folder)
        return folder

    def _write_bank(self, session: Session) -> Path:
        from ditr.labelling.bank import Bank

        path = self._free(self._places.bank)
        Bank.of(session).save(path)
        return path


def thinned(pixels: Pixels, most: int = 1000) -> Pixels:
    """A line of at most so many places."""
    return pixels[:: 1 + (len(pixels) - 1) // most]
