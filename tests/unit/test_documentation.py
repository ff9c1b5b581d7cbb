"""What the documentation says is so: its code runs, its tables agree with the code, its links lead somewhere."""

from __future__ import annotations

import ast
import codeop
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import jasmin_arc
from jasmin_arc import ArcInterface, ConnectionConfig, Explanation
from jasmin_arc.cli.commands import setup
from jasmin_arc.config import OPTIONS
from jasmin_arc.description.formats import xrsl

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md"))]
WITH_CODE = [page for page in PAGES if "\n<!-- run -->\n" in page.read_text(encoding="utf-8")]
ALL_PAGES = [*PAGES, *sorted(ROOT.glob("benchmarks/*.md")), *sorted(ROOT.glob("tests/**/*.md"))]
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>run|prints) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
_HEADING = re.compile(r"^#{1,3} +(.+)$", re.M)
"""Sphinx makes anchors for these levels only: see docs/conf.py"""
_WIDEST = 80
"""What the pages show without a scroll bar"""
_LOG = re.compile(r"^\[[^]]*\] \[[A-Z]+\] .*\n", re.M)
_OTHER_WORDS = re.compile(
    r"computing element|sandbox|working directory|session folder|job directory|worker node|compute node"
    r"|output folder|result directory|user certificate|job identifier|wall clock",
    re.I,
)
"""Words for what docs/glossary.md gives another name"""
_ABOUT_BACKENDS = [f"docs/{name}.md" for name in ("backends", "configuration", "index", "local", "quickstart")]
"""These pages say themselves what the others say in a note"""
_NOTE = """
> **Try it.** The code on this page runs as it stands, from top to bottom, on your own machine: `backend="local"` says
> so. To use a cluster, make a [configuration](configuration.md) and write `ArcInterface()` instead.
"""


@dataclass
class Block:
    """A fenced block of a page, and what the comment above it says."""

    line: int
    mark: str | None
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("text"))
        yield Block(line, match["mark"], match["language"], match["text"])


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to work in, and nothing that says which backend is meant: the pages say it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("JASMIN_ARC_BACKEND", raising=False)
    monkeypatch.delenv("JASMIN_ARC_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("JASMIN_ARC_LOCAL_DIR", str(tmp_path / "local"))
    monkeypatch.setenv("JASMIN_ARC_JOBS_INFO_FILE", str(tmp_path / "jobs.dat"))
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "jasmin-arc"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m jasmin_arc "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_code_can_be_pasted_into_python(page: Path) -> None:
    """Before Python 3.13, only an empty line ends a loop there."""
    for block in blocks(page):
        if block.language != "python" or block.mark != "run":
            continue
        typed: list[str] = []
        for line in [*block.text.splitlines(), ""]:
            typed.append(line)
            if codeop.compile_command("\n".join(typed), f"{page}:{block.line}"):
                typed = []
        assert not typed


def run(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the code of a page, and look whether it prints what the page says."""
    names: dict[str, object] = {}
    printed = ""
    for block in blocks(page):
        if block.mark == "run":
            run_block(page, block, names)
            printed = _LOG.sub("", capsys.readouterr().out)
        elif block.mark == "prints":
            assert block.text.strip() in printed, f"{name_of(page)}, line {block.line}"
    with ArcInterface(backend="local", log=None) as arc:
        arc.cancel_jobs(arc.list_jobs())


def run_block(page: Path, block: Block, names: dict[str, object]) -> None:
    if block.language == "sh":
        done = subprocess.run(["bash", "-e", "-c", block.text], capture_output=True, text=True)
        assert done.returncode == 0, f"{name_of(page)}, line {block.line}: {done.stdout}{done.stderr}"
    else:
        # The empty lines make tracebacks point to the line of the page.
        exec(compile("\n" * block.line + block.text, str(page), "exec"), names)


@pytest.mark.usefixtures("on_this_machine")
@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_code_runs_as_it_stands(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(page, capsys)


@pytest.mark.usefixtures("on_this_machine")
@pytest.mark.parametrize("name", ["README.md", "docs/index.md", "docs/quickstart.md"])
def test_the_first_steps_can_be_repeated(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As these pages say: change one line and run it again."""
    for _ in range(2):
        run(ROOT / name, capsys)


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_a_page_with_code_says_where_it_runs(page: Path) -> None:
    if page.parent != ROOT and name_of(page) not in _ABOUT_BACKENDS:
        assert _NOTE in page.read_text(encoding="utf-8")
    assert re.findall(r"ArcInterface\((?!.*backend=\"local\").*", "".join(runnable(page))) == []


def runnable(page: Path) -> list[str]:
    return [block.text for block in blocks(page) if block.mark == "run" and block.language == "python"]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))], ids=name_of)
def test_one_thing_has_one_name(page: Path) -> None:
    assert _OTHER_WORDS.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))) == []


def test_the_readme_fits_on_a_page_or_two() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_all_code_is_valid(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            # As in a notebook, where a cell may wait.
            flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            compile(block.text, f"{name_of(page)}:{block.line}", "exec", flags)
        if block.language == "json":
            json.loads(block.text)
        if block.language in ("python", "sh", "console"):
            assert [line for line in block.text.splitlines() if len(line) > _WIDEST] == []


@pytest.mark.parametrize("page", ALL_PAGES, ids=name_of)
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" not in path:
            place = page.parent / path if path else page
            assert place.exists(), f"{name_of(page)}: {target}"
            assert not anchor or anchor in anchors(place), f"{name_of(page)}: {target}"


def anchors(page: Path) -> set[str]:
    """The names by which GitHub, and Sphinx too, know the headings of a page."""
    headings = _HEADING.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(page: Path) -> list[list[str]]:
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def test_the_configuration_page_has_every_option_with_its_default() -> None:
    table = {
        cells[0].strip("`"): cells[1].strip("`") for cells in rows(ROOT / "docs/configuration.md") if len(cells) == 3
    }
    documented = {name: default for name, default in table.items() if name.isupper()}
    assert documented == {name: str(getattr(ConnectionConfig, name)) for name in OPTIONS}


def test_the_page_on_errors_has_every_error() -> None:
    documented = {cells[0].strip("`") for cells in rows(ROOT / "docs" / "errors.md")}
    errors = {
        name
        for name, value in vars(jasmin_arc).items()
        if isinstance(value, type) and issubclass(value, jasmin_arc.JasminArcError)
    }
    assert documented == errors - {"JasminArcError"}


def test_troubleshooting_has_a_section_for_every_cause_under_its_name() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    sections = page.partition("\n## Causes of failure\n")[2].partition("\n## My job does not start\n")[0]
    assert sorted(re.findall(r"^### (.+)$", sections, re.M)) == sorted(causes())


def test_the_pages_show_all_that_proxy_info_prints() -> None:
    page = (ROOT / "docs" / "credentials.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\$ jasmin-arc proxy info\n(.*?)^```$", page, re.M | re.S)
    names = [tuple(re.split("  +", line)[0].replace(" ", "_") for line in block.splitlines()) for block in shown]
    assert names == [setup._TOKEN, setup._PROXY]
    (fields,) = [
        cells[1]
        for cells in rows(ROOT / "docs" / "command_line.md")
        if "proxy create`, `proxy info`" in cells[0] and len(cells) == 2
    ]
    assert re.findall(r"`(\w+)`", fields) == [*setup._PROXY, *setup._TOKEN]


def test_an_explanation_links_to_the_section_on_its_cause() -> None:
    for cause in causes():
        page, _, anchor = Explanation("id", cause, "summary", "advice").link.partition("#")
        assert anchor in anchors(ROOT / page)


def causes() -> set[str]:
    """The names that the rules of jasmin_arc/explain give to causes."""
    sources = (ROOT / "jasmin_arc" / "explain").glob("*.py")
    calls = [node for path in sources for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    first = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding"]
    return {argument.value for argument in first if isinstance(argument, ast.Constant)}


def test_the_page_on_describing_jobs_has_every_attribute_of_xrsl() -> None:
    page = (ROOT / "docs" / "describing_jobs.md").read_text(encoding="utf-8")
    docstring = str(xrsl.__doc__).partition("Accepted and ignored")[0]
    attributes = re.findall(r"[a-z_]+", docstring.partition("``")[2].partition("``")[0])
    assert "executable" in attributes
    assert [name for name in attributes if f"`{name}`" not in page] == []


def test_the_api_has_every_public_name() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/api/*.md"))
    documented = re.findall(r"auto(?:module|class):: (\S+)", pages)
    public = [getattr(jasmin_arc, name) for name in jasmin_arc.__all__]
    classes = [value for value in public if isinstance(value, type)]
    names = {(value.__module__, f"{value.__module__}.{value.__qualname__}") for value in classes}
    assert [full for module, full in sorted(names) if module not in documented and full not in documented] == []


def test_every_public_method_is_in_one_group_of_the_api() -> None:
    page = (ROOT / "docs" / "api" / "arc_interface.md").read_text(encoding="utf-8")
    documented = re.findall(r"auto(?:method|property):: ArcInterface\.(\w+)", page)
    public = [name for name in dir(ArcInterface) if not name.startswith("_")]
    assert sorted(documented) == sorted(public)


def test_the_pages_are_all_in_the_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [page.stem for page in ROOT.glob("docs/*.md") if f"\n{page.stem}\n" not in index] == ["index"]


def test_the_example_configuration_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    options = json.loads((ROOT / "config.example.json").read_text(encoding="utf-8"))
    assert set(options) <= set(OPTIONS)
    ConnectionConfig(options)


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md", "docs/quickstart.md"])
def test_all_example_configurations_are_the_same(page: str) -> None:
    (shown,) = [block.text for block in blocks(ROOT / page) if block.language == "json"]
    assert shown == (ROOT / "config.example.json").read_text(encoding="utf-8")


def test_the_page_on_installing_lists_what_the_package_needs() -> None:
    text = (ROOT / "docs" / "installation.md").read_text(encoding="utf-8")
    assert [package for package in dependencies("dependencies") if f"`{package}`" not in text] == []


def dependencies(*lists: str) -> list[str]:
    """The names of the packages in lists of pyproject.toml, without our own."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = []
    for name in lists:
        array = re.search(rf"^{name} = \[(.*?)\]$", project, re.M | re.S)
        assert array is not None, name
        found += re.findall(r'"([a-z][a-z0-9-]*)(?:\[\w+\])?(?:[<>=].*?)?"', array[1])
    assert found
    return [name for name in found if name != "jasmin-arc-py"]


def test_the_guide_for_contributors_lists_what_gets_installed() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    array = re.search(
        r"^PACKAGES=\((.*?)^\)\nJASMIN_PACKAGES=\((.*?)\)[^\n]*\nARC7_PACKAGES=\((.*?)^\)",
        (ROOT / "tests/grid/packages.sh").read_text(encoding="utf-8"),
        re.M | re.S,
    )
    assert array is not None
    debian = re.sub(r"#.*", "", "\n".join(array.groups())).split()
    assert debian
    pypi = dependencies("dependencies", "functions", "test", "bench", "docs", "dev")
    missing = [package for package in [*debian, *pypi] if f"`{package}`" not in guide]
    assert missing == []
