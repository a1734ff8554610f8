"""What `make docs` adds to MkDocs: pages from all over the repository, a page of the API for each room, a link check.

A page has the same path in the site as in the repository, so a relative link that works in one works in the other.
"""

import importlib
import logging
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
PAGES = {
    "Home": ["README*.md"],
    "Guides": ["docs/*.md", "examples/*.md"],
    "API": ["api/*.md"],
    "Measurements": ["benchmarks/README.md", "benchmarks/*/*.md"],
    "Project": ["CHANGELOG.md", "CONTRIBUTING.md"],
}
FILES = [
    "docs/*.css",
    "docs/*.jpg",
    "docs/*.png",
    "examples/*.html",
    "examples/*.py",
    "examples/recipes/*.yaml",
    "benchmarks/*.py",
    "benchmarks/*.png",
    "benchmarks/*/*.png",
]
ROOMS = ["modeling", "processing", "data", "labels", "evaluation", "inference", "export", "labelling", "hub"]
ROOMS += ["app", "training"]

log = logging.getLogger("mkdocs.hooks.clipseg_hf")


def on_config(config):
    """The navigation: whatever pages there are, by subject."""
    api = {"api/*.md": list(api_pages())}
    config.nav = [
        {title: [uri for pattern in patterns for uri in api.get(pattern) or _found(pattern)]}
        for title, patterns in PAGES.items()
    ]
    return config


def on_files(files, config):
    """The pages, and the files that they show or link to."""
    from mkdocs.structure.files import File, Files

    patterns = [pattern for group in PAGES.values() for pattern in group] + FILES
    paths = [path for pattern in patterns for path in _found(pattern)]
    found = [File.generated(config, path, abs_src_path=str(ROOT / path)) for path in paths]
    found += [File.generated(config, path, content=text) for path, text in api_pages().items()]
    return Files([*found, *(file for file in files if file.src_dir != config.docs_dir)])  # the theme's own


def on_post_build(config):
    """Every link of every built page leads somewhere; what leads out of the site is counted, not tried."""
    broken, outside = check_links(Path(config.site_dir))
    for message in broken:
        log.warning(message)
    log.info(f"All links inside of the site were followed; {outside} lead out of it and were not tried.")


def api_pages() -> dict[str, str]:
    """Path -> Markdown: one page for the package, one for each room, with the names in its `__all__`."""
    rooms = {f"clipseg_hf.{room}": importlib.import_module(f"clipseg_hf.{room}") for room in ROOMS}
    package = importlib.import_module("clipseg_hf")
    pages = {
        "api/clipseg_hf.md": _page(package, {name: room for room, found in rooms.items() for name in found.__all__})
    }
    return pages | {f"api/{name.removeprefix('clipseg_hf.')}.md": _page(room, {}) for name, room in rooms.items()}


def _page(module, elsewhere: dict[str, str]) -> str:
    """The public names of a module; for those that another page tells about, a link to it."""
    lines = [f"# {module.__name__}", module.__doc__]
    for name in sorted(module.__all__, key=str.casefold):
        if name in elsewhere:
            path = f"{elsewhere[name]}.{name}"
            lines.append(f"- [`{name}`][{path}], also in `{elsewhere[name]}`")
    lines += [
        f"::: {module.__name__}.{name}"
        for name in sorted(module.__all__, key=str.casefold)
        if name not in elsewhere and not name.startswith("__")
    ]
    return "\n\n".join(lines) + "\n"


def _found(pattern: str) -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern))


class _Page(HTMLParser):
    """The links of a page, and the places in it that links can name."""

    def __init__(self, path: Path):
        super().__init__()
        self.links, self.anchors = [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value is not None:
                self.links.append(value)


def check_links(site: Path) -> tuple[list[str], int]:
    """Follow the links of all pages below `site`: -> what is broken, a line each, and how many lead out of it."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    broken, outside = [], 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                outside += 1
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: nothing is at {link}")
            elif target in pages and anchor not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} names a place that its page does not have")
    return broken, outside
