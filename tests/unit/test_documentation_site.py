"""The built documentation: it builds without a warning, and a reader who searches finds something."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sphinx.search.en import SearchEnglish

ROOT = Path(__file__).resolve().parents[2]
_SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.S)
_TAG = re.compile(r"<[^>]+>")
_UNREADABLE = re.compile(r"=\s*(?:\.\.\.|_\w+|Ellipsis|[A-Z]+_[A-Z_]+|<)|Unpack")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the built pages."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def index(site: Path) -> dict[str, Any]:
    """What the search of the pages looks into."""
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    return loaded


def found(index: dict[str, Any], words: str) -> set[str]:
    """The pages that the search finds for all of these words."""
    stem = SearchEnglish({}).stem
    pages = [numbers(index["terms"], stem(word)) | numbers(index["titleterms"], stem(word)) for word in words.split()]
    return {index["docnames"][number] for number in set.intersection(*pages)}


def numbers(terms: dict[str, Any], word: str) -> set[int]:
    found_in = terms.get(word, [])
    return {found_in} if isinstance(found_in, int) else set(found_in)


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("jupyter", "notebooks"),
        ("notebook", "notebooks"),
        ("kernel", "notebooks"),
        ("function", "functions"),
        ("concurrent futures", "functions"),
        ("joblib", "other_tools"),
        ("dask", "other_tools"),
        ("pandas", "pandas"),
        ("dataframe", "pandas"),
        ("conda", "own_environment"),
        ("venv", "own_environment"),
        ("modules", "own_environment"),
        ("parameter sweep", "parameter_sweeps"),
        ("job array", "parameter_sweeps"),
        ("dependency", "what_it_does_not_do"),
        ("email", "what_it_does_not_do"),
        ("retry", "resubmitting"),
        ("walltime", "describing_jobs"),
        ("timeout", "waiting"),
        ("token", "credentials"),
        ("voms", "credentials"),
        ("htgettoken", "credentials"),
        ("refuses", "credentials"),
    ],
)
def test_the_search_finds_a_page(index: dict[str, Any], words: str, page: str) -> None:
    assert page in found(index, words)


def test_the_search_finds_nothing_for_a_word_that_is_not_there(index: dict[str, Any]) -> None:
    assert found(index, "quagga") == set()


def test_defaults_are_shown_as_readers_know_them(site: Path) -> None:
    pages = [page.read_text(encoding="utf-8") for page in site.glob("api/*.html")]
    signatures = [html.unescape(_TAG.sub("", signature)) for page in pages for signature in _SIGNATURE.findall(page)]
    assert any("name: str = 'stdout'" in signature for signature in signatures)
    assert [signature for signature in signatures if _UNREADABLE.search(signature)] == []


def test_a_page_has_buttons_to_copy_and_leaves_out_prompts(site: Path) -> None:
    script = (site / "_static" / "copybutton.js").read_text(encoding="utf-8")
    assert "copybutton.js" in (site / "quickstart.html").read_text(encoding="utf-8")
    assert "formatCopyText(text, '$ '" in script
