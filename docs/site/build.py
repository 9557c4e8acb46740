"""Build the site of the documentation: ``python docs/site/build.py``, or ``make docs``.

The pages are laid out as in the repository, so that each link is the one that GitHub follows; what
they link to comes along. Anything that MkDocs warns of ends the build, and so does a page that
would load something from elsewhere.
"""

import argparse
import logging
import re
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from mkdocs.commands.build import build as run_mkdocs
from mkdocs.config import load_config
from mkdocs.exceptions import Abort
from reference import commands_page, python_page

__all__ = ["build", "loaded_from_elsewhere"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md")


def build(out: Path) -> int:
    """Write the site to a folder and return how many pages it has.

    Raises
    ------
    mkdocs.exceptions.Abort
        If a link or an anchor leads nowhere, or a page is not in the navigation.
    ValueError
        If a page would load something from elsewhere.
    """
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder)
        lay_out(pages)
        config = load_config(
            str(HERE / "mkdocs.yml"), docs_dir=str(pages), site_dir=str(out), strict=True
        )
        run_mkdocs(config)
    html = sorted(out.rglob("*.html"))
    for page in html:
        found = loaded_from_elsewhere(page.read_text(encoding="utf-8"))
        if found:
            raise ValueError(f"'{page}' would load {found[0]}: keep a copy, or do without")
    return len(html)


def lay_out(folder: Path) -> None:
    """Copy the pages, write those that are made of the code, and copy what pages link to."""
    names = [ROOT / name for name in PAGES] + sorted((ROOT / "docs").glob("*.md"))
    while names:
        source = names.pop()
        target = folder / source.relative_to(ROOT)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        if source.suffix == ".md":
            names += _linked(source)
    (folder / "docs/reference-commands.md").write_text(commands_page(), encoding="utf-8")
    (folder / "docs/reference-python.md").write_text(python_page(), encoding="utf-8")


def _linked(page: Path) -> list[Path]:
    """Return the files of the repository that a page links to."""
    found = []
    for link in re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        path = (page.parent / link).resolve()
        if "://" not in link and path.is_file() and path.is_relative_to(ROOT):
            found.append(path)
    return found


def loaded_from_elsewhere(html: str) -> list[str]:
    """Return the addresses that a browser would load with a page; links to follow are none.

    Examples
    --------
    >>> loaded_from_elsewhere('<script src="https://cdn.example/x.js"></script><a href="https://a">')
    ['https://cdn.example/x.js']
    """
    tags = re.findall(r"<(?:script|img|iframe|source|video|audio|link)\b[^>]*>", html)
    tags = [tag for tag in tags if not re.search(r'rel="?(?:canonical|prev|next)', tag)]
    inside = re.findall(r"url\([\"']?((?:https?:)?//[^)\"']+)", html)
    return [
        address
        for tag in tags
        for address in re.findall(r"(?:src|href)=[\"']?((?:https?:)?//[^\"'\s>]+)", tag)
    ] + inside


def main() -> None:
    """Build, and exit with 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description="Build the site of the documentation.")
    parser.add_argument("--out", type=Path, default=Path("site"))
    out = parser.parse_args().out.resolve()
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        pages = build(out)
    except (Abort, ValueError) as error:
        sys.exit(f"Error: {error}")
    print(f"{pages} pages: {out / 'index.html'}")


if __name__ == "__main__":
    main()
