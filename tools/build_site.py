"""Builds the documentation site: ``python tools/build_site.py [FOLDER]``, or ``make docs``.

The pages of ``docs/`` and ``benchmarks/`` are written to be read in the repository, where they link to source files,
tests and scripts. Here they are copied into one tree of pages, with a page for each example and each room of the
package, and their links are led to the pages that stand for these files. Zensical makes the site of that tree, and
refuses broken links.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from made_pages import PACKAGE, REPOSITORY, example_pages, examples, module_name, reference, rooms

# Files beside docs/ and benchmarks/ that are pages, too.
OTHERS = {
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "README.md": "overview.md",
}

NAVIGATION: dict[str, list[str]] = {
    "Start": ["install.md", "quickstart.md", "commands.md", "captures.md", "viewer.md", "weights.md"],
    "Label and train": ["labelling.md", "recipes.md", "distillation.md", "many.md", "outputs.md", "objects.md"],
    "Datasets": ["datasets.md", "submissions.md"],
    "Python": ["python.md"],
    "Help": ["troubleshooting.md", "glossary.md", "caches.md", "performance.md"],
    "Measured": ["verified.md", "demo.md", "rooms.md", "streets.md", "reproduce.md", "results/index.md"],
    "Project": ["overview.md", "architecture.md", "contributing.md", "security.md", "changelog.md"],
}

OPTIONS = {
    "docstring_style": "google",
    "docstring_section_style": "list",
    "filters": "public",
    "heading_level": 2,
    "members_order": "source",
    "show_root_heading": True,
    "show_root_full_path": True,
    "show_signature_annotations": True,
    "show_source": False,
}


def site_pages() -> dict[str, str]:
    """Pages that are copied: the path in the repository to the path in the site."""
    pages = dict(OTHERS)
    for path in sorted([*REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("benchmarks/**/*.md")]):
        name = path.relative_to(REPOSITORY).as_posix()
        pages[name] = name.removeprefix("docs/").replace("README.md", "index.md")
    return {name: page for name, page in pages.items() if (REPOSITORY / name).exists()}


# ---- pages as Python-Markdown and zensical read them ----------------------------------------------------------------


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """``change`` applied to all of a page but its blocks of code."""
    parts = re.split(r"(^ *```.*?^ *```[^\S\n]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))


def indented(text: str) -> str:
    """Lists as Python-Markdown needs them: four spaces a level, where the repository's pages have two or three.

    An item with several paragraphs also ends with an empty line, or else the next item would be part of it.
    """
    lines: list[str] = []
    levels, shift, fenced, paragraphs = [0], 0, False, False
    for line in text.splitlines():
        bare = line.lstrip(" ")
        indent = len(line) - len(bare)
        if bare and not fenced:
            while indent < levels[-1]:
                levels.pop()
            shift = 4 * (len(levels) - 1) - levels[-1]
            marker = re.match(r"(?:[*-]|\d+\.) +", bare)
            if marker and indent - levels[-1] < 4:
                if paragraphs and lines[-1]:
                    lines.append("")
                levels.append(indent + marker.end())
                paragraphs = False
        elif not bare and not fenced:
            paragraphs = len(levels) > 1
        fenced ^= bare.startswith("```")
        lines.append(" " * (indent + shift) + bare if bare else "")
    return "\n".join(lines) + "\n"


LINK = re.compile(
    r"(?P<code>`[^`\n]+`(?!\]\())|(?P<picture>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)"
)


class Links:
    """Leads the links of repository files to the pages of the site."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.targets = dict(pages)
        for path in examples():
            self.targets[path.relative_to(REPOSITORY).as_posix()] = f"examples/{path.stem}.md"
        for room, modules in rooms().items():
            self.targets |= {f"src/ditr/{room}": f"reference/{room}.md"}
            for path in modules:
                name = path.relative_to(REPOSITORY).as_posix()
                self.targets[name] = f"reference/{room}.md#{module_name(path)}"
        self.targets |= {
            "src/ditr": "reference/index.md",
            "examples": "examples/index.md",
            "benchmarks": "benchmarks/index.md",
        }

    def led(self, text: str, source: str, page: str) -> str:
        """The text of ``source`` with its links as they are from ``page``; those to what has no page become plain text.

        Raises:
            SystemExit: a link leads to no file of the repository.
        """

        def one(match: re.Match[str]) -> str:
            if match["code"] or re.match(r"\w+:|#", match["target"]):
                return match[0]
            path, _, anchor = match["target"].partition("#")
            target = os.path.normpath(PurePosixPath(source).parent / path)
            if not (REPOSITORY / target).exists():
                raise SystemExit(f"{source}: the link to {match['target']} leads to no file; mend it")
            if target.startswith("docs/") and not target.endswith(".md"):
                found = target.removeprefix("docs/")
            elif target in self.targets:
                found = self.targets[target]
            else:
                return match["text"]
            found += f"#{anchor}" if anchor else ""
            return f"{match['picture']}[{match['text']}]({os.path.relpath(found, PurePosixPath(page).parent)})"

        return outside_fences(text, lambda part: LINK.sub(one, part))


# ---- the site -------------------------------------------------------------------------------------------------------


def navigation(pages: list[str]) -> list[dict[str, Any]]:
    """The menu: what is listed above, with the pages that are made and those of the studies."""
    groups = {title: list(found) for title, found in NAVIGATION.items()}
    listed = {page for found in groups.values() for page in found}
    rest = [page for page in pages if page not in listed and page != "index.md"]
    groups["Help"] += [page for page in rest if "/" not in page]

    def under(folder: str) -> list[str]:
        return sorted(
            (page for page in rest if page.startswith(f"{folder}/")),
            key=lambda page: (not page.endswith("index.md"), page),
        )

    menu: list[dict[str, Any]] = [{"Home": "index.md"}]
    for title, found in groups.items():
        menu.append({title: list[Any]([page for page in found if page in pages])})
    parts = {title: entries[title] for entries in menu for title in entries if title != "Home"}
    parts["Python"] += [{"Examples": under("examples")}, {"API reference": under("reference")}]
    parts["Measured"] += [
        {"Tables": under("results")},
        {"Studies": under("studies")},
        {"Benchmarks": under("benchmarks")},
    ]
    return menu


def settings(pages: list[str]) -> dict[str, Any]:
    """Of the site; nothing of it is fetched from elsewhere."""
    python = {
        "paths": [str(PACKAGE.parent)],
        "options": OPTIONS | {"extensions": [str(REPOSITORY / "tools" / "griffe_roles.py")]},
    }
    day = {
        "scheme": "default",
        "media": "(prefers-color-scheme: light)",
        "toggle": {"icon": "lucide/sun", "name": "Dark mode"},
    }
    night = {
        "scheme": "slate",
        "media": "(prefers-color-scheme: dark)",
        "toggle": {"icon": "lucide/moon", "name": "Light mode"},
    }
    features = [
        "navigation.tabs",
        "navigation.indexes",
        "navigation.top",
        "content.code.copy",
        "search.highlight",
        "toc.follow",
    ]
    return {
        "site_name": "ditr",
        "site_description": "A label for every point of a 3D scene with photographs",
        "docs_dir": "pages",
        "site_dir": "site",
        "use_directory_urls": False,
        "theme": {"name": "material", "font": False, "features": features, "palette": [day, night]},
        "plugins": ["search", {"mkdocstrings": {"handlers": {"python": python}}}],
        "markdown_extensions": [
            {"toc": {"permalink": True, "toc_depth": 3}},
            "admonition",
            "attr_list",
            "def_list",
            "md_in_html",
            "tables",
            {"pymdownx.highlight": {}},
            "pymdownx.inlinehilite",
            "pymdownx.superfences",
        ],
        "nav": navigation(pages),
    }


def assemble(source: Path) -> list[str]:
    """Write the tree of pages, and return their paths."""
    pages = site_pages()
    links = Links(pages)
    shutil.rmtree(source, ignore_errors=True)
    texts = reference() | example_pages()
    for path in examples():
        name = path.relative_to(REPOSITORY).as_posix()
        page = links.targets[name]
        texts[page] = indented(links.led(texts[page], name, page))
    for name, page in pages.items():
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        texts[page] = indented(links.led(text, name, page))
    for page, text in texts.items():
        (source / page).parent.mkdir(parents=True, exist_ok=True)
        (source / page).write_text(text, encoding="utf-8")
    for picture in [
        *REPOSITORY.glob("docs/**/*.jpg"),
        *REPOSITORY.glob("docs/**/*.png"),
        *REPOSITORY.glob("docs/**/*.svg"),
    ]:
        target = source / picture.relative_to(REPOSITORY / "docs")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, target)
    return sorted(texts)


def main(folder: str = "build") -> None:
    """Build the site into ``FOLDER/site``."""
    out = Path(folder).resolve()
    source, config = out / "pages", out / "mkdocs.yml"
    pages = assemble(source)
    config.write_text(json.dumps(settings(pages), indent=1), encoding="utf-8")
    program = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean", "-f", str(config)]
    raise SystemExit(subprocess.run(program, cwd=out, check=False).returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
