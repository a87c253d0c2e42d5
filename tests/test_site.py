"""The site: what its parts make of their sources, and (slow) that it builds without a warning and no link is broken."""

import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

import backbonekit
from backbonekit import hf_models
from backbonekit.cli.verbs import VERBS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def test_every_public_name_is_on_a_page_of_the_api() -> None:
    for page, names in (("api.md", backbonekit.__all__), ("api_transformers.md", hf_models.__all__)):
        listed = re.findall(r"^\.\. auto\w+:: backbonekit\.(\w+)$", (DOCS / page).read_text(), flags=re.MULTILINE)
        assert sorted(listed) == sorted(set(names) - {"__version__"}), page


def test_the_page_of_verbs_has_the_help_of_each() -> None:
    sections = runpy.run_path(str(DOCS / "site" / "verb_help.py"))["verb_sections"]()
    assert re.findall(r"^## (\w+)$", sections, flags=re.MULTILINE) == list(VERBS)
    assert len(re.findall(r"^usage: backbonekit \w+", sections, flags=re.MULTILINE)) == len(VERBS)


def test_the_index_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "here.md").touch()
    present = runpy.run_path(str(DOCS / "site" / "present_pages.py"))["present"]
    index = "# Title\n\n```{toctree}\n:glob:\n\nhere\nlater\nh*\nfolder/*\n```\nlater\n"
    assert present(index, tmp_path) == "# Title\n\n```{toctree}\n:glob:\n\nhere\nh*\n```\nlater\n"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["A `name`s of `x`, see *args and last_."], ["A ``name``\\ s of ``x``, see \\*args and last\\_.", ""]),
        (["One.", "", "    a -- b", "", "* item"], ["One.", "", "::", "", "    a -- b", "", "* item", ""]),
    ],
)
def test_docstrings_become_restructured_text(written: list[str], expected: list[str]) -> None:
    rewritten = runpy.run_path(str(DOCS / "site" / "markdown_docstrings.py"))["in_restructured_text"](written)
    assert rewritten == expected


def test_versions_are_listed_newest_release_first(tmp_path: Path) -> None:
    for name in ("0.9.0", "0.10.0", "0.11.0.dev0", "static"):
        (tmp_path / name).mkdir()
        if name != "static":
            (tmp_path / name / "index.html").touch()
    write_list = runpy.run_path(str(DOCS / "make_site.py"))["write_list"]
    assert write_list(tmp_path) == ["0.10.0", "0.9.0", "0.11.0.dev0"]
    assert "url=0.10.0/index.html" in (tmp_path / "index.html").read_text()


def test_releases_are_the_tags_of_versions(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "first")
    for tag in ("v0.10.0", "v0.9.1", "v1.0.0rc1", "before"):
        git("tag", tag)
    released = runpy.run_path(str(DOCS / "make_site.py"))["released"]
    released.__globals__["ROOT"] = tmp_path
    assert released() == ["v0.9.1", "v0.10.0"]


def test_every_page_is_in_the_index() -> None:
    """Sphinx says so too, in the slow test."""
    entries = re.findall(r"^```\{toctree\}\n(.*?)^```", (DOCS / "index.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    patterns = [line for entry in entries for line in entry.splitlines() if line and not line.startswith(":")]
    reached = {page.name for pattern in patterns for page in DOCS.glob(f"{pattern}.md")}
    assert {page.name for page in DOCS.glob("*.md")} - reached == {"index.md"}


class Links(HTMLParser):
    """The ids of a page and where its links and files lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


def broken_links(site: Path) -> list[str]:
    """Links within the site that lead to no file or to no heading of a page."""
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            address = urlparse(target)
            if address.scheme or address.netloc:
                continue
            path = (page.parent / unquote(address.path)).resolve() if address.path else page
            known = pages.get(path)
            if not path.exists() or (address.fragment and known and unquote(address.fragment) not in known.ids):
                broken.append(f"{page.relative_to(site)}: {target}")
    return broken


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="here"><a href="b.html#there"></a><a href="#here"></a><img src="c.png"></p>'
    )
    (tmp_path / "b.html").write_text('<p id="elsewhere"><a href="https://example.org/x"></a></p>')
    assert broken_links(tmp_path) == ["a.html: b.html#there", "a.html: c.png"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of this version, built as `make docs` builds them."""
    pytest.importorskip("sphinx")
    output = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(DOCS / "make_site.py"), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return output / backbonekit.__version__


@pytest.mark.slow
def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert broken_links(site) == []
    assert (site / "search.html").is_file()
    assert "usage: backbonekit train" in (site / "verbs.html").read_text()
    assert 'id="backbonekit.build_model"' in (site / "api.html").read_text()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
@pytest.mark.parametrize("page", ["index", "recipes", "api"])
def test_a_browser_shows_it_without_a_complaint(site: Path, page: str) -> None:
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    address = (site / f"{page}.html").as_uri()
    shown = subprocess.run([*command, address], capture_output=True, text=True, timeout=60, check=True)
    assert "CONSOLE" not in shown.stderr  # where errors of a page go
    assert f'<option value="{backbonekit.__version__}">' in shown.stdout  # the list of versions, filled by a script
