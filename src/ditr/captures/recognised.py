"""What a source was taken for, and why: said with each scene of it, and who names it in errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ditr.captures.as_read import read_as
from ditr.errors import Finding, Grade, InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["Recognised"]


@dataclass(frozen=True)
class Recognised:
    """A file or folder of another format.

    Attributes:
        path: of it.
        title: what it is, with its article.
        reason: what it was recognised by.
        reading: how it is read.
    """

    path: Path
    title: str
    reason: str
    reading: ReadOptions

    def read(self, read: Callable[[], Scene]) -> Scene:
        """The scene that ``read`` gives as it is stored, as the options say; what it is is its first finding.

        Raises:
            InputError: what ``read`` raises.
        """
        with self.faults():
            scene = read()
            note = Finding(Grade.NOTED, "format", f"read as {self.title}, since {self.reason}")
            scene = replace(scene, findings=(note, *scene.findings))
            return read_as(scene, self.reading.over(scene.reading))

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Errors inside name the file.

        Raises:
            InputError: one that names a scene, or an error of the system.
        """
        try:
            yield
        except InputError as error:
            if error.where.startswith("scene "):
                raise InputError(self.path, error.fault, error.remedy) from None
            raise
        except OSError as error:
            fault = f"it cannot be read ({error.strerror or error})"
            raise InputError(error.filename or self.path, fault, "Check its permissions") from error
