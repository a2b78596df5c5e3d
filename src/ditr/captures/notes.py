"""What is noticed while a capture is read: the same thing in many places is one finding."""

from __future__ import annotations

from ditr.errors import Finding, Grade, few

__all__ = ["Notes"]


class Notes:
    """Collects findings in the order in which they were first made."""

    def __init__(self) -> None:
        self._places: dict[tuple[Grade, str, str, str], list[str]] = {}

    def say(self, about: str, text: str, place: str = "", *, remedy: str = "", grade: Grade = Grade.NOTED) -> None:
        """Add a finding, or one more place of it.

        Args:
            about: the subject, one word.
            text: what was found, without its full stop.
            place: the frame that it was found in; empty for the capture as a whole.
            remedy: what to do about it, likewise.
            grade: how much it matters.
        """
        places = self._places.setdefault((grade, about, text, remedy), [])
        if place:
            places.append(place)

    def warn(self, about: str, text: str, remedy: str = "") -> None:
        """Add a finding that nobody may miss."""
        self.say(about, text, remedy=remedy, grade=Grade.WARNED)

    def findings(self) -> tuple[Finding, ...]:
        """All of them, each with its first places."""
        found = []
        for (grade, about, text, remedy), places in self._places.items():
            where = f" ({few(places, 3)})" if places else ""
            evidence = {"frames": len(places)} if places else {}
            found.append(Finding(grade, about, text + where, remedy, evidence))
        return tuple(found)
