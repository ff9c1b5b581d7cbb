"""Objects show what is known of them, as HTML in a notebook and as text elsewhere. No text of others becomes HTML."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jasmin_site import JASMIN

from jasmin_arc import ArcInterface, Explanation, Job, JobDescription, JobInfo, Jobs, JobStatuses
from jasmin_arc._support import html as markup
from jasmin_arc._support.cards import Card, Grid
from jasmin_arc.constants import JobState
from jasmin_arc.display.board import Board
from jasmin_arc.site_info import QueueInfo, SiteInfo

ID = "https://ce.example.ac.uk:443/arex/rest/1.0/jobs/45PLDmnL0oAoOSAtDm"
TEXTS = st.text(st.sampled_from("<>&\"'=/ab$\\ ;#!-`{}\x00\x1b\n\u202eé"), max_size=60).map("x{}".format)
"""What is empty is not shown, so it would look otherwise"""
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;$x$"


class Outline(HTMLParser):
    """Notes the tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[Any] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_comment(self, data: str) -> None:
        self.tags.append(f"<!--{data}")

    def handle_decl(self, decl: str) -> None:
        self.tags.append(f"<!{decl}")

    def handle_pi(self, data: str) -> None:
        self.tags.append(f"<?{data}")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def arc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArcInterface]:
    folder = tmp_path_factory.mktemp("arc")
    options = {"local_dir": folder / "local", "jobs_info_file": folder / "jobs.dat"}
    with ArcInterface(backend="local", log=None, **options) as arc:
        yield arc


def info_of(text: str) -> JobInfo:
    return JobInfo(ID, JobState.FAILED, name=text, reason=text, queue=text, nodes=(text,), errors=(text, text))


def job_of(arc: ArcInterface, text: str) -> Job:
    job = Job(arc, ID, text)
    job._told_all(info_of(text))
    return job


def pages(arc: ArcInterface, text: str) -> dict[str, str]:
    """What notebooks show of each kind of object, with this text wherever there may be one."""
    job = job_of(arc, text)
    # No description may have these.
    plain = "".join(filter(str.isprintable, text)).strip()
    files = {"inputs": {"a": Path("/") / plain}, "stdin": Path("/") / plain}
    description = JobDescription(plain, [plain], name=plain, environment={"A": plain}, queue="q", **files)
    site = SiteInfo(text, text, (QueueInfo(text, accounts=(text,)),), (text,), accounts=(text,))
    shown = [
        job,
        Jobs(arc, [job]),
        info_of(text),
        Explanation(ID, text, text, text, (text, text), text),
        site,
        description,
    ]
    return {type(thing).__name__: thing._repr_html_() for thing in shown}


@given(text=TEXTS)
@example(text=HOSTILE)
@example(text="<!-- ")
@example(text="</td></table>")
def test_no_text_of_a_job_becomes_html(arc: ArcInterface, text: str) -> None:
    harmless = pages(arc, "x")
    for kind, page in pages(arc, text).items():
        assert Outline(page).tags == Outline(harmless[kind]).tags, kind


def test_what_is_shown_is_what_was_said(arc: ArcInterface) -> None:
    for kind, page in pages(arc, "<b>&amp;</b>").items():
        assert "<b>&amp;</b>" in Outline(page).text, kind


def test_the_pages_need_nothing_from_elsewhere(arc: ArcInterface) -> None:
    for page in [*pages(arc, "x").values(), arc._repr_html_()]:
        outline = Outline(page)
        tags = {entry[0] for entry in outline.tags if isinstance(entry, tuple)}
        assert tags <= {"div", "span", "b", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
        attributes = {name for entry in outline.tags if isinstance(entry, tuple) for name, _ in entry[1]}
        assert attributes <= {"style", "class"}
        assert "url(" not in page


def test_markup_is_put_together_without_being_escaped_twice() -> None:
    assert markup.tag("b", "a & b", markup.tag("i", "<c>")) == "<b>a &amp; b<i>&lt;c&gt;</i></b>"
    assert markup.joined(["<", markup.tag("i", ">")], "&") == "&lt;&amp;<i>&gt;</i>"
    assert markup.status("failed").endswith("</span> failed")
    assert markup.properties([]) == ""


def test_a_long_text_is_cut() -> None:
    page = Card("n" * 10**6, properties=[("name", "&" * 10**6)], note="e" * 10**6).html()
    assert len(page) < 8000


URL = "https://me:sesame@data.example.org/in.nc?X-Signature=sesame"


def test_nothing_shows_the_secrets_of_a_url(arc: ArcInterface) -> None:
    info = JobInfo(ID, JobState.FAILED, name=URL, reason=URL, errors=(f"cannot fetch {URL}", URL))
    job = Job(arc, ID, "m")
    job._told_all(info)
    explanation = Explanation(ID, "stage-in", URL, "Ask.", (URL,), URL)
    board = Board({ID: "failed"}, {ID: URL}, {ID: URL})
    pages = [shown._repr_html_() for shown in (info, job, Jobs(arc, [job]), explanation)]
    texts = [str(info), repr(info), repr(job), job._card().text(), str(Jobs(arc, [job])), repr(explanation)]
    for shown in [*pages, *texts, board.html(), board.text()]:
        assert "sesame" not in shown


def test_a_site_with_very_many_queues_stays_small() -> None:
    site = SiteInfo("x", queues=tuple(QueueInfo(f"q-{number}") for number in range(10_000)))
    page = site._repr_html_()
    assert page.count("<tr") < 110 and "and 9900 more" in page
    assert "q-9999" in str(site)


def test_a_formula_stays_text() -> None:
    assert Card("$x$").html().startswith('<div class="tex2jax_ignore mathjax_ignore">')


# --- What each object shows ---

RAN = JobInfo(
    ID,
    JobState.FINISHED,
    name="m-1961",
    exit_code=0,
    submitted=datetime(2026, 11, 20, 12, 34, 56, tzinfo=timezone.utc),
    wall_time=timedelta(minutes=2, seconds=3),
    memory=10905190,
)


@pytest.fixture
def _in_helsinki(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EET-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def words(page: str) -> str:
    return " ".join(Outline(page.replace("<td", " <td").replace("<div", " <div")).text.split())


@pytest.mark.usefixtures("_in_helsinki")
def test_what_is_known_of_a_job_as_people_read_it() -> None:
    assert lines(str(RAN)) == [
        "m-1961 completed",
        f"id {ID}",
        "state Finished",
        "exit code 0",
        "submitted 2026-11-20 14:34:56 EET",
        "wall time 2 min 3 s",
        "memory 10.4 MB",
    ]
    assert words(RAN._repr_html_()) == "m-1961 ● " + " ".join(lines(str(RAN)))[len("m-1961 ") :]
    assert repr(RAN) == (
        f"JobInfo(id='{ID}', state='Finished', name='m-1961', exit_code=0, submitted='2026-11-20 14:34:56 EET', "
        "wall_time='2 min 3 s', memory='10.4 MB')"
    )


def test_a_job_that_was_cancelled_has_not_failed_for_people() -> None:
    assert lines(str(JobInfo(ID, JobState.KILLED)))[0] == "45PLDmnL0oAoOSAtDm cancelled"


def test_a_description_shows_what_runs_and_no_secret() -> None:
    job = JobDescription(
        "sort",
        ["-k 2", "in.txt"],
        name="m",
        memory="2 GB",
        wall_time="1h",
        environment={"TOKEN": "sesame"},
        inputs={"in.txt": "https://me:sesame@example.org/in?sig=sesame", "key": b"sesame"},
    )
    assert repr(job) == (
        "JobDescription(name='m', executable='sort', arguments=['-k 2', 'in.txt'], "
        "inputs={'in.txt': 'https://...example.org/in?...', 'key': '6 bytes given in Python'}, "
        "environment=['TOKEN'], memory='2.0 GB', wall_time='1 h')"
    )
    assert lines(str(job))[:2] == ["m", "command sort '-k 2' in.txt"]
    assert "environment TOKEN" in lines(str(job))
    assert "sesame" not in repr(job) + str(job) + job._repr_html_()
    steps = JobDescription(steps=[["a"], ["b", "c"]], slots=2)
    assert repr(steps) == "JobDescription(name='a', steps=[['a'], ['b', 'c']], slots=2)"


def test_an_explanation_shows_its_advice() -> None:
    explanation = Explanation(ID, "wall-time", "It ran too long.", "Ask for more time.", ("60 s", "61 s"), "m-1961")
    assert words(explanation._repr_html_()) == (f"m-1961 wall-time It ran too long.60 s61 s Ask for more time. {ID}")
    assert repr(explanation) == "<Explanation of m-1961: It ran too long.>"


def test_a_site_shows_its_queues() -> None:
    text = lines(str(JASMIN))
    assert text[:3] == ["slurm://lotus", "endpoint slurm://lotus", "healthy yes"]
    assert "standard 1 d 48768 12210 12 242" in text
    assert "standard 1 d 1 128 GB 4 no" in text
    assert [line.split()[0] for line in text if line.endswith("accounts qos") or "overrides" in line] == [
        "queue",
        "QoS",
    ]
    assert "standard 1 d 48768 12210 12 242" in words(JASMIN._repr_html_())
    assert repr(SiteInfo("x", queues=(QueueInfo("q", max_memory=1 << 30),))) == (
        "SiteInfo(endpoint='x', queues=[QueueInfo(name='q', max_memory='1.0 GB')], healthy=True)"
    )


def test_an_interface_shows_its_configuration(arc: ArcInterface) -> None:
    assert lines(str(arc))[:3] == ["ArcInterface", "backend local", "place this machine"]
    assert "ArcInterface backend local place this machine" in words(arc._repr_html_())
    with ArcInterface(arc_server="ce.example", backend="rest", log=None) as other:
        assert "place https://ce.example:443/arex" in lines(str(other))


class _Printer:
    """The printer of IPython, as far as it is used."""

    def __init__(self, *around: object) -> None:
        self.stack = [*map(id, around), 0]
        self.printed = ""

    def text(self, text: str) -> None:
        self.printed += text


def test_ipython_shows_the_lines_of_one_object_and_one_line_of_each_among_others() -> None:
    alone, in_a_list = _Printer(), _Printer([RAN])
    RAN._repr_pretty_(alone, False)
    RAN._repr_pretty_(in_a_list, False)
    assert (alone.printed, in_a_list.printed) == (str(RAN), repr(RAN))


# --- Jobs: what was known, and no question ---


@pytest.fixture
def unasked(arc: ArcInterface, monkeypatch: pytest.MonkeyPatch) -> ArcInterface:
    """An interface whose backend must not even be made."""
    other = ArcInterface(config=arc.config, log=None)

    def fail() -> None:
        raise AssertionError("the backend was used to show something")

    monkeypatch.setattr(other, "_make_backend", fail)
    return other


def test_jobs_are_shown_without_a_question(arc: ArcInterface, unasked: ArcInterface) -> None:
    (one, two) = arc.submit([JobDescription("/bin/sh", ["-c", f"exit {code}"], name=f"exit-{code}") for code in (0, 3)])
    jobs = Jobs(unasked, [Job(unasked, one.id), Job(unasked, two.id)])
    assert lines(str(jobs))[0] == "2 jobs 2 submitted"
    assert "exit-0" in jobs._repr_html_() and "exit-0" in jobs[0]._repr_html_()
    assert repr(jobs[0]) == f"<Job {one.id}>"
    arc.wait([one, two])
    assert lines(str(jobs))[0] == "2 jobs 1 completed, 1 failed"
    assert "failed exit-3" in lines(str(jobs))[3]
    assert "infos asks" not in str(jobs)


def test_a_job_remembers_what_was_asked(arc: ArcInterface) -> None:
    jobs = arc.submit([JobDescription("/bin/sh", ["-c", f"exit {code}"], name=f"n-{code}") for code in (0, 3)])
    assert "this is what was known" in str(jobs)
    assert jobs.wait() == [JobStatuses.COMPLETED, JobStatuses.FAILED]
    assert repr(jobs[1]).endswith("(failed)>")
    jobs.infos()
    table = str(jobs)
    assert "exit code 3" in lines(table)[3] and "wall time" in lines(table)[2]
    assert "exit code" in jobs[1]._repr_html_()
    assert "exit code 3" in jobs[:2]._repr_html_()


def test_a_status_that_is_newer_than_the_rest_replaces_it(arc: ArcInterface) -> None:
    job = Job(arc, ID)
    job._told_all(JobInfo(ID, JobState.RUNNING, name="m"))
    job._told(JobStatuses.FAILED)
    assert lines(job._card().text())[:2] == ["m failed", f"id {ID}"]


def test_a_table_of_jobs_has_the_failed_ones_first_and_twenty_rows(arc: ArcInterface) -> None:
    jobs = Jobs(arc, [Job(arc, f"{ID}{number:05}", f"m-{number}") for number in range(10_000)])
    for number, job in enumerate(jobs):
        job._told_all(JobInfo(job.id, JobState.FAILED if number % 1000 == 999 else JobState.RUNNING, name=HOSTILE))
    page, text = jobs._repr_html_(), lines(str(jobs))
    assert text[0] == "10000 jobs 9990 in progress, 10 failed"
    assert [line.split()[0] for line in text[3:13]] == ["failed"] * 10
    assert len(text) == 3 + 20 + 1 and text[-1].startswith("and 9980 more; this is what was known")
    assert len(page.encode()) < 64_000
    assert page.count("<tr") == 21


@pytest.mark.parametrize("letter", ['"', "\U0001f600", "x"])
def test_a_table_of_ten_thousand_jobs_with_long_texts_is_small(arc: ArcInterface, letter: str) -> None:
    long = letter * 5000
    jobs = Jobs(arc, [Job(arc, f"https://ce.example/{long}{number}", long) for number in range(10_000)])
    for job in jobs:
        job._told_all(JobInfo(job.id, JobState.FAILED, name=long, reason=long, errors=(long,)))
    assert len(jobs._repr_html_().encode()) < 64_000


def test_no_jobs_are_shown_too(arc: ArcInterface) -> None:
    none = Jobs(arc, [])
    assert (str(none), words(none._repr_html_())) == ("0 jobs", "0 jobs")


def test_a_job_list_that_cannot_be_read_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "jobs.dat").write_text("this is no database " * 1000)
    with ArcInterface(backend="local", jobs_info_file=tmp_path / "jobs.dat", log=None) as arc:
        assert "45PLDmnL" in Jobs(arc, [Job(arc, ID)])._repr_html_()


def test_a_grid_is_aligned() -> None:
    text = Card("t", grids=[Grid(["a", "bb"], [["1", "2"], ["333", "4"]])]).text()
    assert text == "t\n\na    bb\n1    2\n333  4"
    assert html.escape("<") in Card("<").html()
