"""The documentation site: it builds, no link or anchor in it is broken, and it loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import ditr

REPOSITORY = Path(__file__).resolve().parents[1]
# A newcomer's five questions, and the pages that answer them.
ANSWERS = ("install.html", "quickstart.html", "outputs.html", "troubleshooting.html", "overview.html")


@dataclass
class Page(HTMLParser):
    """What of a page can be linked to, what it links to, and what a browser loads with it."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    loaded: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.add(found["href"])
        elif tag == "link":
            self.loaded.add(found["href"])
        elif "src" in found:
            self.loaded.add(found["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """Every page of the site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    program = [sys.executable, str(REPOSITORY / "tools" / "build_site.py"), str(folder)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "griffe" not in said, (
        f"docstrings that the reference cannot show; name each argument on its own line:\n{said}"
    )
    return {path: Page(path) for path in sorted((folder / "site").rglob("*.html"))}


def inside(page: Page, link: str) -> tuple[Path, str] | None:
    """File and anchor of a link to the site itself."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    path = page.path if not parts.path else Path(os.path.normpath(page.path.parent / unquote(parts.path)))
    return path / "index.html" if path.is_dir() else path, unquote(parts.fragment)


def test_no_link_and_no_anchor_is_broken(site: dict[Path, Page]) -> None:
    broken = []
    for page in site.values():
        if page.path.name == "404.html":  # is served for any address, so its links begin at the root
            continue
        for link in page.links | page.loaded:
            found = inside(page, link)
            if found is None:
                continue
            path, anchor = found
            if not path.exists() or (anchor and path.suffix == ".html" and anchor not in site[path].ids):
                broken.append(f"{page.path.name}: {link}")
    assert not broken, "\n".join(sorted(broken))
    assert len(site) > 50


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    assert not {link for page in site.values() for link in page.loaded if inside(page, link) is None}
    root = min(site, key=lambda path: len(path.parts)).parent
    styles = "".join(path.read_text(encoding="utf-8") for path in root.rglob("*.css"))
    assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", styles)


def test_the_reference_has_every_public_name(site: dict[Path, Page]) -> None:
    ids = {name for page in site.values() if page.path.parent.name == "reference" for name in page.ids}
    for name in set(ditr.__all__) - {"__version__"}:
        thing = getattr(ditr, name)
        assert f"{thing.__module__}.{thing.__qualname__}" in ids, name


def test_five_questions_are_two_clicks_from_the_first_page(site: dict[Path, Page]) -> None:
    home = next(page for page in site.values() if page.path.name == "index.html" and page.path.parent.name == "site")
    assert {Path(link).name for link in home.links} >= set(ANSWERS)


def test_lists_have_their_levels(site: dict[Path, Page]) -> None:
    page = next(path for path in site if path.name == "architecture.html").read_text(encoding="utf-8")
    assert (
        re.search(r"<li>[^<]*<p>Add one file in .*?<ul>\s*<li>its download", page, flags=re.DOTALL)
        or "<ul>\n<li>its download" in page
    )
    for path in site:
        text = re.sub(r"<pre>.*?</pre>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"^\* ", text, flags=re.MULTILINE), f"{path.name}: a list item is part of a paragraph"
