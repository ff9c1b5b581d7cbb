"""Contents of inputs that are given as bytes: kept once beside the job list, as long as a job needs them."""

from __future__ import annotations

import io
import multiprocessing
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jasmin_arc import ArcInterface
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import InputFileError, PartialFailureError
from jasmin_arc.job_list import JobList, JobRecord, new_token

MakeArc = Callable[..., ArcInterface]
ENDPOINT = "https://ce.example.org:443/arex"


@pytest.fixture
def arc(make_arc: MakeArc) -> ArcInterface:
    return make_arc("local")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "jobs.dat.inputs"


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat")


def job(**values: object) -> JobDescription:
    return JobDescription(**{"executable": "cat", "arguments": ["data"], "outputs": [], **values})  # type: ignore[arg-type]


def url(name: str) -> str:
    return f"{ENDPOINT}/rest/1.0/jobs/{name}"


def record(job_list: JobList, content: bytes, token: str | None = None) -> JobRecord:
    return job_list.record(job(inputs={"data": content}), endpoint=ENDPOINT, token=token or new_token())


def submit(job_list: JobList, content: bytes, name: str) -> str:
    one = record(job_list, content)
    job_list.intend([one])
    job_list.created({one.token: url(name)})
    job_list.commit([url(name)])
    return url(name)


def recorded(job_list: JobList, job_id: str) -> JobDescription:
    return JobDescription.from_json(job_list.get([job_id])[job_id].description)


def submit_jobs(arc: ArcInterface, *jobs: JobDescription) -> list[str]:
    ids = arc.submit_jobs(list(jobs))
    arc.wait(ids)
    return ids


def test_a_large_content_is_kept_once_and_not_in_the_records(arc: ArcInterface, tmp_path: Path, spool: Path) -> None:
    submit_jobs(arc, *[job(executable="true", arguments=[], inputs={"data": b"x" * 2_000_000})] * 20)
    records = [tmp_path / "jobs.dat", *(tmp_path / "local").rglob("jobs.sqlite")]
    assert len(records) == 2
    assert sum(path.stat().st_size for path in records) < 1_000_000
    (content,) = spool.iterdir()
    assert content.read_bytes() == b"x" * 2_000_000
    assert (stat.S_IMODE(spool.stat().st_mode), stat.S_IMODE(content.stat().st_mode)) == (0o700, 0o600)


def test_jobs_are_submitted_again_with_the_same_contents(arc: ArcInterface) -> None:
    both = job(arguments=["data", "-"], inputs={"data": b"one \0\xff\n"}, stdin=b"two\n")
    ids = submit_jobs(arc, both)
    again = arc.resubmit_jobs(ids)
    arc.wait(again)
    for job_id in (*ids, *again):
        assert arc.read(job_id, encoding=None) == b"one \0\xff\ntwo\n"


def test_a_content_goes_with_the_last_job_that_has_it(arc: ArcInterface, spool: Path) -> None:
    first, second, third = submit_jobs(
        arc, job(inputs={"data": b"same"}), job(inputs={"data": b"same"}), job(inputs={"data": b"other"})
    )
    assert {path.read_bytes() for path in spool.iterdir()} == {b"same", b"other"}
    arc.clean_jobs([first, third], force=True)
    assert [path.read_bytes() for path in spool.iterdir()] == [b"same"]
    arc.clean_jobs([second], force=True)
    assert list(spool.iterdir()) == []


def test_a_job_that_was_submitted_again_needs_the_content_too(arc: ArcInterface, spool: Path) -> None:
    (first,) = submit_jobs(arc, job(inputs={"data": b"same"}))
    (second,) = arc.resubmit_jobs([first])
    arc.wait([second])
    arc.clean_jobs([first], force=True)
    (third,) = arc.resubmit_jobs([second])
    arc.wait([third])
    assert arc.read(third, encoding=None) == b"same"
    arc.clean_jobs([second, third], force=True)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"sane"), lambda path: path.unlink()])
def test_a_content_that_is_not_what_it_was_is_not_sent(
    arc: ArcInterface, spool: Path, damage: Callable[[Path], object]
) -> None:
    ids = submit_jobs(arc, job(inputs={"data": b"same"}), job(inputs={}, arguments=["/dev/null"]))
    (content,) = spool.iterdir()
    damage(content)
    with pytest.raises(PartialFailureError) as caught:
        arc.resubmit_jobs(ids)
    bad, good = caught.value.results
    assert isinstance(bad, InputFileError)
    assert "given as bytes are no longer there" in str(bad)
    assert "submit the job as a new one" in str(bad)
    assert isinstance(good, str)
    arc.wait([good])


def test_jobs_run_though_their_contents_cannot_be_kept(spool: Path, tmp_path: Path) -> None:
    log = io.StringIO()
    config = {"LOCAL_DIR": str(tmp_path / "local"), "JOBS_INFO_FILE": str(tmp_path / "jobs.dat"), "BACKEND": "local"}
    spool.write_text("a file where the folder should be")
    with ArcInterface(log=log, config=config) as arc:
        ids = submit_jobs(arc, job(inputs={"data": b"one"}), job(inputs={"data": b"two"}))
        assert arc.read(ids[1], encoding=None) == b"two"
        (warning,) = [line for line in log.getvalue().splitlines() if "WARNING" in line]
        assert f"cannot be kept in {spool}" in warning
        spool.unlink()
        with pytest.raises(PartialFailureError, match="could not be kept when the job was submitted"):
            arc.resubmit_jobs(ids)
        arc.clean_jobs(ids, force=True)


def test_contents_in_records_of_former_versions_still_count(job_list: JobList, tmp_path: Path) -> None:
    text = job(inputs={"data": b"old"}).to_json()
    job_list.add([JobRecord(token=new_token(), endpoint=ENDPOINT, name="old", id=url("old"), description=text)])
    assert recorded(job_list, url("old")).inputs == {"data": b"old"}
    job_list.verify_inputs(recorded(job_list, url("old")))
    job_list.remove([url("old")])
    assert [path.name for path in tmp_path.iterdir() if "inputs" in path.name] == []


def test_a_submission_that_came_to_nothing_leaves_no_content(job_list: JobList, spool: Path) -> None:
    done = submit(job_list, b"both", "a")
    intended, other = record(job_list, b"both"), record(job_list, b"mine")
    job_list.intend([intended, other])
    job_list.forget([intended.token, other.token])
    assert [path.read_bytes() for path in spool.iterdir()] == [b"both"]
    job_list.forget([job_list.get([done])[done].token])
    job_list.verify_inputs(recorded(job_list, done))


def test_a_content_that_was_erased_before_it_was_written_down_is_written_again(job_list: JobList, spool: Path) -> None:
    first = submit(job_list, b"same", "a")
    second = record(job_list, b"same")
    job_list.remove([first])
    assert list(spool.iterdir()) == []
    job_list.intend([second])
    assert [path.read_bytes() for path in spool.iterdir()] == [b"same"]


def test_a_list_behind_a_symbolic_link_has_its_contents_beside_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.dat")
    job_id = submit(JobList(tmp_path / "link"), b"same", "a")
    assert len(list((tmp_path / "real.dat.inputs").iterdir())) == 1
    JobList(tmp_path / "real.dat").verify_inputs(recorded(JobList(tmp_path / "real.dat"), job_id))
    JobList(tmp_path / "real.dat").remove([job_id])
    assert list((tmp_path / "real.dat.inputs").iterdir()) == []


@given(
    st.dictionaries(st.sampled_from(["a", "b/c", "d e"]), st.binary(max_size=50), max_size=3),
    st.none() | st.binary(max_size=50),
)
def test_what_is_recorded_has_the_same_contents(
    tmp_path_factory: pytest.TempPathFactory, inputs: dict[str, bytes], stdin: bytes | None
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    given_job = job(inputs=inputs, stdin=stdin)
    text = job_list.record(given_job, endpoint=ENDPOINT, token=new_token()).description
    found = JobDescription.from_json(text)
    job_list.verify_inputs(found)
    assert "base64" not in text
    sources = {name: source for name, source in found.inputs.items() if isinstance(source, Path)}
    assert {name: path.read_bytes() for name, path in sources.items()} == inputs
    assert (found.stdin.read_bytes() if isinstance(found.stdin, Path) else None) == stdin
    assert found.replace(inputs=inputs, stdin=stdin) == given_job


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["submit", "intend", "add", "remove", "forget"]), st.integers(0, 3))))
def test_contents_are_there_exactly_while_jobs_need_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    job_list = JobList(tmp_path_factory.mktemp("list") / "jobs.dat")
    jobs: dict[str, bytes] = {}
    intentions: dict[str, bytes] = {}
    for number, (step, which) in enumerate(steps):
        content = b"%d" % (which % 3)
        if step == "submit":
            jobs[submit(job_list, content, f"job{number}")] = content
        elif step == "intend":
            job_list.intend([one := record(job_list, content)])
            intentions[one.token] = content
        elif step == "add":
            # The same id again takes the place of the one before.
            one = record(job_list, content)
            job_list.add([JobRecord(**{**vars(one), "id": url(f"added{which // 2}")})])
            jobs[url(f"added{which // 2}")] = content
        elif step == "remove":
            job_list.remove(gone := list(jobs)[:which])
            jobs = {job_id: kept for job_id, kept in jobs.items() if job_id not in gone}
        else:
            job_list.forget(gone := list(intentions)[:which])
            intentions = {token: kept for token, kept in intentions.items() if token not in gone}
        folder = Path(f"{job_list.path}.inputs")
        there = {path.read_bytes() for path in folder.iterdir()} if folder.exists() else set()
        assert there == {*jobs.values(), *intentions.values()}


def _hammer(path: Path, name: str) -> None:
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        job_list = JobList(path)
        try:
            for number in range(10):
                job_id = submit(job_list, b"content %d" % (number % 2), f"{name}-{thread}-{number}")
                job_list.verify_inputs(recorded(job_list, job_id))
                job_list.remove([job_id])
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_processes_and_threads_share_contents(tmp_path: Path, spool: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_hammer, args=(tmp_path / "jobs.dat", name)) for name in ("one", "two")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert list(spool.iterdir()) == []


def test_folders_that_are_made_for_contents_are_their_owners_alone(tmp_path: Path) -> None:
    jobs = JobList(tmp_path / "home" / ".arc" / "jobs.dat")
    description = JobDescription(executable="cat", stdin=b"secret")
    jobs.intend([jobs.record(description, endpoint="local://here", token=new_token())])
    for folder in (tmp_path / "home" / ".arc", tmp_path / "home" / ".arc" / "jobs.dat.inputs"):
        assert folder.stat().st_mode & 0o777 == 0o700
