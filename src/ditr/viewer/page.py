"""The page: a server on this machine, its panel, and what happens when something in it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.pictures.render import point_spacing
from ditr.pictures.viewpoint import is_enclosed
from ditr.viewer.album import Album
from ditr.viewer.beside import PATH, Beside, difference, panes
from ditr.viewer.browsers import Browsers
from ditr.viewer.camera import first_camera, fly
from ditr.viewer.guard import Guard, guarding, require_guarded
from ditr.viewer.layers import LABELS, Layer, layer_makers, opens_on
from ditr.viewer.legend import Legend
from ditr.viewer.look import Browser, Look
from ditr.viewer.octree import flat_octree, kept_octree
from ditr.viewer.photographs import Photographs
from ditr.viewer.picking import picked
from ditr.viewer.subject import Subject
from ditr.viewer.things import Labelled, Things
from ditr.viewer.tools import Clip, Distance

__all__ = ["BUDGET", "SMALL", "Page"]

BUDGET = 1_000_000
"""Points that one browser draws at most."""
_REACH, _NEAREST = 10.0, 1e-5
"""The farthest that is drawn, in diagonals of the scene, and the nearest, in shares of that: what a depth buffer of 24
bits tells apart."""
_CLOSED, _DOTS, _LARGEST = 1.2, 0.4, 2.0
"""How large points are drawn, in distances between them: surfaces of a room are closed, lines of a sweep stay dots,
however far its points are apart."""


class Page:
    """What is shown of a subject, to any number of browsers.

    Args:
        subject: what is shown.
        port: of the server, or the next that is free.
        budget: most points that one browser draws.
        cache: folder of octrees; None to keep none.
        beside: a second result of the same points, for a right side; None for one side.

    Attributes:
        guard: of the door.
        origin: (3,) of the page's frame in the scene's.
        looks: what all browsers show; of two sides, what each shows.
        browsers: they, and the lock around what they share.
        layers: ways to colour, by name; made when they are first asked for.
        label_tab: where what labels the scene may put its widgets; None where two results are compared.
        on_point: what a click on a point does, by those who take clicks: told the browser and the point; the first
            that returns True has taken it.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        port: int,
        budget: int = BUDGET,
        cache: Path | None = None,
        beside: Beside | None = None,
    ) -> None:
        self.subject, self.guard, self._beside = subject, Guard(), beside
        if beside is not None:
            self.guard.front = (PATH, partial(panes, beside.names))
        scene = subject.scene
        self.origin = np.round(np.median(scene.coord[:: 1 + len(scene) // 100_000], axis=0), 3)
        coord = (scene.coord - self.origin).astype(np.float32)
        whole = len(coord) <= budget
        tree = flat_octree(coord, point_spacing(scene.coord)) if whole else kept_octree(coord, cache)
        everything = np.ones(len(coord), np.bool_)
        enclosed = is_enclosed(scene)
        self._scale = _CLOSED if enclosed else _DOTS
        largest = np.inf if enclosed else _LARGEST * float(np.median(tree.size))
        black = np.zeros((len(coord), 3), np.uint8)
        sides = 1 if beside is None else 2
        self.looks = [Look(coord, tree, self._scale, largest, budget, black, everything) for _ in range(sides)]
        self.browsers = Browsers(self.looks, self._path_of)
        self.layers: dict[str, Callable[[], Layer]] = layer_makers(subject)
        if beside is not None:
            self.layers["same or not"] = partial(difference, subject, beside.subject)
        self._made: dict[str, Layer] = {}
        self._made_beside: dict[str, Layer] = {}
        self._camera = first_camera(scene, self.origin)
        self.on_point: list[Callable[[Browser, int], bool]] = []
        self.server = self._started(port)
        try:
            self._fill()
        except BaseException:
            self.stop()
            raise

    def _started(self, port: int) -> Any:
        import viser

        with guarding(self.guard), _quiet():
            server = viser.ViserServer(host="127.0.0.1", port=port, label=None, verbose=False)
        try:
            require_guarded(self.guard, server.get_port())
            # viser can show a page to the whole world through a server of its makers; not this one.
            for name in ("ShareUrlRequest", "ShareUrlDisconnect"):
                server._websock_server.unregister_handler(getattr(viser._messages, name))
        except BaseException:
            server.stop()
            raise
        return server

    def _path_of(self, client: Any) -> str:
        """The way that a browser's websocket took."""
        connection = self.server._websock_server._live_connections.get(client.client_id)
        return "" if connection is None else str(connection.request.path)

    @property
    def coord(self) -> NDArray[np.float32]:
        """(N, 3) of the points, in the page's frame."""
        return self.looks[0].coord

    @property
    def address(self) -> str:
        """What is opened in a browser on this machine."""
        return self.guard.address(self.server.get_port())

    def stop(self) -> None:
        """End the server."""
        with _quiet():
            self.server.stop()

    # ---- what is there ----------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        server, first = self.server, self._camera
        gui = server.gui
        gui.configure_theme(
            control_width="medium", dark_mode=False, show_logo=False, show_share_button=False, brand_color=(38, 92, 122)
        )
        gui.main_panel.dock_right()
        gui.set_panel_label(self.subject.scene.name)
        server.scene.set_up_direction(first.up)
        server.scene.world_axes.visible = False
        camera = server.initial_camera
        camera.position, camera.look_at, camera.up, camera.fov = first.position, first.look_at, first.up, first.field
        # A survey of kilometres is not clipped.
        camera.far = max(camera.far, _REACH * float(np.linalg.norm(np.ptp(self.coord, axis=0))))
        camera.near = max(camera.near, _NEAREST * camera.far)
        self._panel(gui)
        self._change_layer()
        server.on_client_connect(self.browsers.connected)
        server.on_client_connect(self._let_go_far)
        server.on_client_disconnect(self.browsers.disconnected)
        server.scene.on_click()(self._clicked)

    def _let_go_far(self, client: Any) -> None:
        """From a survey, so that all of it is seen."""
        client.camera.max_orbit_distance = max(client.camera.max_orbit_distance, self.server.initial_camera.far)

    def _panel(self, gui: Any) -> None:
        scene = self.subject.scene
        tabs = gui.add_tab_group()
        with tabs.add_tab("Look"):
            views = f", {len(scene.views):,} photographs" if scene.views else ""
            gui.add_html(f'<div style="{SMALL}">{len(scene):,} points{views}</div>')
            names = tuple(self.layers)
            self._shown_layer = opens_on(names)
            self._color_by = gui.add_dropdown("Colour by", names, initial_value=self._shown_layer)
            self._note = gui.add_html("")
            self._size = gui.add_slider("Point size", min=0.4, max=4.0, step=0.1, initial_value=1.0)
            self._inside = None
            if self._camera.open is not None:
                self._inside = gui.add_checkbox("See inside", True, hint="Cut away the ceiling and the near walls")
                self._inside.on_update(lambda _: self.repaint())
        self._color_by.on_update(lambda event: self._choose(event.client))
        self._size.on_update(lambda _: self._resize())
        self.label_tab = tabs.add_tab("Label") if self._beside is None else None
        photographs, self.album = Photographs(scene, self.origin), None
        if photographs.views:
            with tabs.add_tab("Photographs"):
                self.album = Album(self.server, self.browsers, self.coord, photographs)
        if self._beside is None:
            with tabs.add_tab("Objects"):
                Things(self.server, self.browsers, scene, self.origin, self._labelled)
        with tabs.add_tab("Tools"):
            self._clip = Clip(gui, self.coord, self.repaint)
            self._distance = Distance(gui, self.server.scene)
            self.on_point.append(lambda browser, point: self._distance.take(self.coord[point]))
            back = gui.add_button("First view", color="gray", hint="Bring the camera back to where it started")
            back.on_click(lambda event: self._go_back(event.client))
        # Below the tabs, where it is seen whichever of them is open.
        self.legend = Legend(gui, self.repaint)

    # ---- colours ----------------------------------------------------------------------------------------------------

    def layer_of(self, name: str) -> Layer:
        """A layer by its name, made now if it is needed.

        Raises:
            InputError: it cannot be made.
        """
        if name not in self._made:
            self._made[name] = self.layers[name]()
        return self._made[name]

    def _on_side(self, name: str, side: int) -> Layer:
        """A layer as a side has it."""
        if side == 0 or self._beside is None or name not in self._beside.layers:
            return self.layer_of(name)
        if name not in self._made_beside:
            self._made_beside[name] = self._beside.layers[name]()
        return self._made_beside[name]

    def renew(self, name: str, layer: Layer) -> None:
        """Put a layer in the place of the one of this name."""
        with self.browsers.lock:
            self._made[name] = layer
            self.offer(name, lambda: layer)
            if name in (self._shown_layer, self._legend_name()):
                self._change_layer()

    def offer(self, name: str, make: Callable[[], Layer]) -> None:
        """One more layer to choose."""
        if name not in self.layers:
            self._color_by.options = (*self._color_by.options, name)
        self.layers[name] = make

    def choose(self, name: str) -> None:
        """Show a layer that is made already."""
        with self.browsers.lock:
            self._shown_layer = self._color_by.value = name
            self._change_layer()

    def _choose(self, client: Any) -> None:
        """Somebody chose a layer; one that is not there yet is made first, and meanwhile the page goes on."""
        name = self._color_by.value
        if client is None or name == self._shown_layer:
            return
        note = None
        if name not in self._made and client is not None:
            note = client.add_notification(f"Colours: {name}", "One moment", loading=True)
        try:
            self.layer_of(name)
            self.choose(name)
        except InputError as error:
            self.browsers.say(client, f"No colours by {name}", error.told(), fault=True)
            self._color_by.value = self._shown_layer
        finally:
            if note is not None:
                note.remove()

    def _legend_name(self) -> str | None:
        """The layer whose classes the legend shows: the chosen one, or that of the labels."""
        if self.layer_of(self._shown_layer).group is not None:
            return self._shown_layer
        return next((name for name in LABELS if name in self._made), None)

    def _labelled(self) -> Labelled | None:
        """The labels whose classes the legend shows."""
        name = self._legend_name()
        if name not in LABELS:
            name = next((one for one in LABELS if one in self.layers), None)
        if name is None:
            return None
        layer = self.layer_of(name)
        assert layer.group is not None
        count = len(layer.names) - 1
        label = np.where(layer.group == count, np.int32(-1), layer.group)
        return Labelled(label, layer.names[:-1], self.subject.confidence if name == "label" else None)

    def _change_layer(self) -> None:
        layer = self.layer_of(self._shown_layer)
        if layer.group is None and self._legend_name() is None:
            for name in ("label", "true label"):
                if name in self.layers:
                    self.layer_of(name)
        legend = self._legend_name()
        self._note.content = f'<div style="{SMALL}">{layer.note}</div>' if layer.note else ""
        sides = [] if legend is None else [self._on_side(legend, side) for side in range(len(self.looks))]
        self.legend.of(*dict.fromkeys(sides))
        self.repaint()

    def repaint(self) -> None:
        """Colours and hidden points again, in all browsers."""
        with self.browsers.lock:
            for side, look in enumerate(self.looks):
                layer = self._on_side(self._shown_layer, side)
                if layer.group is not None:
                    look.colors = self.legend.colors_of(layer)[layer.group]
                else:
                    assert layer.colors is not None
                    look.colors = layer.colors
                shown = self._shown(side)
                look.version += 1
                if not np.array_equal(shown, look.shown):
                    look.shown, look.shown_version = shown, look.shown_version + 1
            self.browsers.refresh()
            if self.album is not None:
                self.album.repaint()

    def _shown(self, side: int) -> NDArray[np.bool_]:
        """(N,) the points that nobody hid."""
        shown = np.ones(len(self.coord), np.bool_)
        if (classes := self.legend.shown(side)) is not None:
            shown &= classes
        if self._inside is not None and self._inside.value and self._camera.open is not None:
            shown &= self._camera.open
        if (inside := self._clip.inside()) is not None:
            shown &= inside
        return shown

    def _resize(self) -> None:
        for look in self.looks:
            look.scale = self._scale * float(self._size.value)
        self.browsers.refresh()

    # ---- clicks -----------------------------------------------------------------------------------------------------

    def _clicked(self, event: Any) -> None:
        time.sleep(0.03)  # a click on a frustum comes as both; that of the frustum goes first
        if self.album is not None and time.monotonic() - self.album.clicked < 0.3:
            return
        with self.browsers.lock:
            browser = self.browsers.of(event.client)
            if browser is None:
                return
            point = self._point_at(browser, np.asarray(event.ray_origin), np.asarray(event.ray_direction))
            if point is None:
                return
            try:
                for take in self.on_point:
                    if take(browser, point):
                        return
            except (InputError, OSError) as error:
                text = error.told() if isinstance(error, InputError) else str(error)
                self.browsers.say(event.client, "That cannot be done", text, fault=True)

    def _point_at(self, browser: Browser, origin: NDArray[np.float64], direction: NDArray[np.float64]) -> int | None:
        if browser.seen is not None and self.album is not None:
            return self.album.point_at(browser, origin, direction)
        rows, look = browser.cloud.rows(), browser.cloud.look
        row = picked(look.coord[rows], origin, direction, look.scale * float(np.median(look.octree.size)))
        return None if row is None else int(rows[row])

    def _go_back(self, client: Any) -> None:
        if self.album is not None:
            self.album.leave(client)
        first = self._camera
        fly(client, first.position, first.look_at, first.up, first.field)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what viser prints: an address without the token, and that it has stopped."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


SMALL = "padding:0 0.8em 0.5em;font-size:0.85em;opacity:0.75"
