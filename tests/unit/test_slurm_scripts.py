"""The scripts that run where Slurm is, with commands of Slurm that fail, lie, or take their time."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from jasmin_arc import JobDescription, JobSubmissionError, SubmissionUnknownError
from jasmin_arc.backends.shell.shell import _START as START
from jasmin_arc.backends.shell.shell import _STAY, Shell
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import ServerError, ServerUnavailableError
from jasmin_arc.job_list import JobRecord

LOST = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'
REFUSED = 'echo "sbatch: error: Batch job submission failed: Invalid qos specification" >&2; exit 1'


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[FakeSlurm]:
    slurm = FakeSlurm(tmp_path)
    with slurm.arc:
        yield slurm


def different(count: int) -> list[JobDescription]:
    """Jobs that are a request each."""
    return [JobDescription("true", name=f"job{number}", memory=(number + 1) * 2**20) for number in range(count)]


def submit(slurm: FakeSlurm, count: int = 1) -> list[str]:
    return [job_id for job_id in slurm.backend.submit(different(count)) if isinstance(job_id, str)]


def unfinished(slurm: FakeSlurm) -> list[str]:
    return sorted(record.name for record in slurm.arc.job_list.unfinished(slurm.backend.endpoint))


# --- submission ---------------------------------------------------------------------------------------------------


def test_of_jobs_that_are_refused_nothing_is_left(slurm: FakeSlurm) -> None:
    slurm.fault("sbatch", REFUSED)
    outcomes = slurm.backend.submit(different(2))
    assert [type(outcome) for outcome in outcomes] == [JobSubmissionError, JobSubmissionError]
    assert "Slurm refuses the job 'job0': Invalid qos specification" in str(outcomes[0])
    assert slurm.folders() == []
    assert unfinished(slurm) == []


def test_one_job_that_is_refused_does_not_keep_the_others_from_running(slurm: FakeSlurm) -> None:
    slurm.fault("sbatch", f"case $* in *--mem-per-cpu=2M*) {REFUSED} ;; esac")
    first, second, third = slurm.backend.submit(different(3))
    assert isinstance(second, JobSubmissionError)
    assert [job[2] for job in slurm.jobs()] == ["RUNNING", "RUNNING"]
    (batch,) = slurm.folders()
    tokens = {path.name for path in (slurm.dir / batch).glob(14 * "?")}
    assert tokens == {str(first).rpartition("/")[2], str(third).rpartition("/")[2]}
    assert slurm.backend.list_jobs() == sorted([str(first), str(third)], key=lambda job_id: job_id)


def test_where_the_answer_is_lost_nothing_more_is_sent_and_the_job_never_runs(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.slurm.recovery._PATIENCE", 0.1)
    slurm.fault("sbatch", f"case $* in *--mem-per-cpu=2M*) accepted='{LOST}' ;; esac")
    first, second, third = slurm.backend.submit(different(3))
    assert isinstance(first, str)
    assert isinstance(second, SubmissionUnknownError)
    assert isinstance(third, JobSubmissionError)
    # It came to exist, and waits.
    assert [(job[2], job[3]) for job in slurm.jobs()] == [("RUNNING", "None"), ("PENDING", "JobHeldUser")]
    assert unfinished(slurm) == ["job1"]
    batch = slurm.dir / slurm.folders()[0]
    assert (batch / "withdrawn.1").exists()

    slurm.fault("sbatch")
    (settled,) = slurm.arc.recover()
    assert settled != first
    assert [job[2] for job in slurm.jobs()] == ["RUNNING", "CANCELLED"]
    assert unfinished(slurm) == []
    assert [path.name for path in batch.glob(14 * "?")] == [first.rpartition("/")[2]]


def test_a_request_that_may_still_arrive_is_awaited(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.backends.slurm.recovery._PATIENCE", 0.1)
    slurm.fault("sbatch", LOST)
    (outcome,) = slurm.backend.submit(different(1))
    assert isinstance(outcome, SubmissionUnknownError)
    slurm.fault("sbatch")
    for _ in range(2):
        assert slurm.arc.recover() == {}
        assert unfinished(slurm) == ["job0"]
    assert "may still be on their way to Slurm; recover again later" in slurm.log.getvalue()
    # Now it comes.
    comment = f"jasmin_arc/{slurm.folders()[0]}/0"
    (slurm.folder / "jobs").write_text(f"7 1 PENDING JobHeldUser {comment}\n")
    assert list(slurm.arc.recover().values()) == ["removed"]
    assert slurm.jobs()[0][2] == "CANCELLED"
    assert (unfinished(slurm), slurm.folders()) == ([], [])


def test_a_request_that_never_arrives_is_given_up(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.backends.slurm.recovery._PATIENCE", 0.1)
    slurm.fault("sbatch", LOST)
    slurm.backend.submit(different(1))
    monkeypatch.setattr("jasmin_arc.backends.slurm.recovery._STILL_ON_ITS_WAY", timedelta(0))
    assert list(slurm.arc.recover().values()) == ["removed"]
    assert (unfinished(slurm), slurm.folders()) == ([], [])


def test_jobs_that_are_still_on_hold_stay_unfinished_until_they_are_released(slurm: FakeSlurm) -> None:
    slurm.fault("scontrol", '[ "$1" != release ] || { echo "slurm_update error: Some error" >&2; exit 1; }')
    (outcome,) = slurm.backend.submit(different(1))
    assert isinstance(outcome, SubmissionUnknownError)
    assert "may still be on hold" in str(outcome)
    assert slurm.arc.recover() == {}
    assert unfinished(slurm) == ["job0"]
    slurm.fault("scontrol")
    ((job_id, info),) = slurm.arc.recover().items()
    assert info is not None
    assert slurm.jobs()[0][2] == "RUNNING"
    assert slurm.arc.job_list.ids() == [job_id]


@pytest.mark.parametrize("program", ["tar", "mkdir"])
def test_where_the_inputs_cannot_be_written_nothing_is_submitted(slurm: FakeSlurm, program: str) -> None:
    assert slurm.backend.endpoint
    refusal = f'case $1 in -p) exec /bin/{program} "$@" ;; esac; echo "No space left on device" >&2; exit 2'
    slurm.program(program, refusal)
    outcomes = slurm.backend.submit(different(2))
    assert [type(outcome) for outcome in outcomes] == [JobSubmissionError, JobSubmissionError]
    assert "No space left on device" in str(outcomes[0])
    assert slurm.calls("sbatch") == []
    assert (unfinished(slurm), slurm.folders()) == ([], [])


def test_where_the_inputs_come_cut_short_nothing_is_submitted(slurm: FakeSlurm) -> None:
    assert slurm.backend.endpoint
    slurm.program("tar", 'head -c 1024 | /bin/tar "$@" 2>/dev/null; cat >/dev/null; exit 0')
    (outcome,) = slurm.backend.submit(different(1))
    assert isinstance(outcome, JobSubmissionError)
    assert "the inputs arrived incomplete" in str(outcome)
    assert slurm.folders() == []


def test_an_input_that_changes_on_its_way_keeps_all_from_being_submitted(
    slurm: FakeSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"x" * 10)
    intend = slurm.arc.job_list.intend

    def change(records: Iterable[JobRecord]) -> None:
        intend(records)
        path.write_bytes(b"x" * 11)

    monkeypatch.setattr(slurm.backend._job_list, "intend", change)
    jobs = [JobDescription("true", inputs={"large": bytes(3_000_000)}), JobDescription("cat", inputs={"in": str(path)})]
    outcomes = slurm.backend.submit(jobs)
    assert not any(isinstance(outcome, (str, SubmissionUnknownError)) for outcome in outcomes)
    assert "had 10 bytes when the job was checked and has 11 now" in str(outcomes[0])
    assert (unfinished(slurm), slurm.folders()) == ([], [])
    assert slurm.calls("sbatch") == []


def test_recover_in_another_process_stops_a_submission_whose_jobs_are_not_there_yet(slurm: FakeSlurm) -> None:
    """As if this process could not be looked up from there."""
    assert slurm.backend.endpoint
    slurm.program(
        "tar",
        f'/bin/tar "$@"; touch "{slurm.folder}/unpacked"; while [ ! -e "{slurm.folder}/go" ]; do sleep 0.05; done',
    )
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.extend(slurm.backend.submit(different(2))))
    thread.start()
    until(lambda: (slurm.folder / "unpacked").exists())
    (batch,) = slurm.folders()
    os.symlink("withdrawn", slurm.dir / batch / "fate")
    (slurm.folder / "go").touch()
    thread.join()
    assert [type(outcome) for outcome in outcomes] == [JobSubmissionError, JobSubmissionError]
    assert "another process has withdrawn the jobs" in str(outcomes[0])
    assert slurm.calls("sbatch") == []
    assert slurm.folders() == []


def test_no_request_is_sent_once_the_batch_is_erased(slurm: FakeSlurm) -> None:
    """As by recover(), where the process that sent the script is gone."""
    slurm.fault("sbatch", f'mv "{slurm.dir}"/2* "{slurm.folder}/gone"')
    outcomes = slurm.backend.submit(different(3))
    assert len(slurm.calls("sbatch")) == 1
    assert not any(isinstance(outcome, str) for outcome in outcomes)


def test_where_jobs_cannot_be_held_they_wait_for_the_decision(slurm: FakeSlurm) -> None:
    slurm.fault(
        "sbatch", 'case $* in *--hold*) echo "sbatch: error: Jobs on hold are not accepted here" >&2; exit 1 ;; esac'
    )
    (job_id,) = submit(slurm)
    assert len(slurm.calls("sbatch")) == 2
    assert "refuses jobs on hold here" in slurm.log.getvalue()
    assert (slurm.dir / job_id.split("/")[-2] / "fate").readlink() == Path("committed")


# --- the job's own script -----------------------------------------------------------------------------------------


class Wrapper:
    """A batch of one job, and the script that runs it, without Slurm."""

    def __init__(self, folder: Path, script: str, *, token: str = "0123abcd000000") -> None:
        self.batch = folder
        self.token = token
        (folder / token / "session").mkdir(parents=True)
        (folder / "marks").mkdir()
        (folder / token / "keep").write_text("stdout\nstderr\n")
        (folder / token / "session" / ".jasmin_arc_run").write_text(f"#!/bin/sh\n{script}\n")
        self.script = Path(__file__).parents[2] / "jasmin_arc" / "backends" / "slurm" / "remote" / "job.sh"

    def start(self, *, offset: int = 0, rerun: int = 0, **environment: str) -> subprocess.Popen[bytes]:
        variables = {"PATH": os.environ["PATH"], "SLURM_JOB_ID": "7", **environment}
        command = ["/bin/sh", str(self.script), str(self.batch), str(offset), "/home/a", str(rerun)]
        return subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def marks(self) -> list[str]:
        return sorted(path.name.removeprefix(f"{self.token}.") for path in (self.batch / "marks").iterdir())


def test_a_job_that_cannot_be_held_runs_when_it_is_decided(tmp_path: Path) -> None:
    wrapper = Wrapper(tmp_path, "exit 3")
    process = wrapper.start()
    time.sleep(1.5)
    assert (process.poll(), wrapper.marks()) == (None, [])
    os.symlink("committed", tmp_path / "fate")
    assert process.wait(10) == 3
    assert wrapper.marks() == ["3"]


@pytest.mark.parametrize("fate", ["withdrawn", "committed"])
def test_a_job_that_was_withdrawn_never_runs(tmp_path: Path, fate: str) -> None:
    wrapper = Wrapper(tmp_path, "touch ran", token="0123abcd00a002")
    os.symlink(fate, tmp_path / "fate")
    (tmp_path / "withdrawn.10").touch()
    assert wrapper.start(offset=10, SLURM_ARRAY_TASK_ID="2").wait(10) == 1
    assert wrapper.marks() == []
    assert not (tmp_path / wrapper.token / "session" / "ran").exists()


def test_a_job_that_slurm_runs_again_too_often_ends(tmp_path: Path) -> None:
    wrapper = Wrapper(tmp_path, "echo ran")
    os.symlink("committed", tmp_path / "fate")
    assert wrapper.start(rerun=1, SLURM_RESTART_COUNT="1").wait(10) == 0
    assert wrapper.start(rerun=1, SLURM_RESTART_COUNT="2").wait(10) == 1
    assert wrapper.marks() == ["1"]
    assert "once more would be too often" in (tmp_path / wrapper.token / "session" / "stderr").read_text()


def test_a_job_in_the_folder_of_another_batch_does_not_run(tmp_path: Path) -> None:
    wrapper = Wrapper(tmp_path, "touch ran")
    os.symlink("committed", tmp_path / "fate")
    assert wrapper.start(offset=1).wait(10) == 1
    assert wrapper.marks() == []


# --- looking ------------------------------------------------------------------------------------------------------


def test_an_answer_of_squeue_counts_from_when_it_was_asked(slurm: FakeSlurm) -> None:
    """A job that was submitted while squeue was on its way is not in its answer, and not lost."""
    (old,) = submit(slurm)
    slurm.fault("squeue", f"slowly='touch \"{slurm.folder}/asked\"; sleep 1'")
    thread = threading.Thread(target=lambda: slurm.backend.states([old]))
    (slurm.dir / "queue").unlink(missing_ok=True)
    thread.start()
    until(lambda: (slurm.folder / "asked").exists())
    (new,) = submit(slurm)
    thread.join()
    assert slurm.backend.watched_states([new]) == {new: JobState.QUEUING}
    until(lambda: slurm.backend.watched_states([new]) == {new: JobState.RUNNING})


def test_what_the_users_environment_says_of_squeue_leaves_out_no_job(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "other")
    monkeypatch.setenv("SQUEUE_STATES", "PENDING")
    slurm.fault("squeue", 'env | grep "^SQUEUE_" >&2 && exit 1')
    (job_id,) = submit(slurm)
    assert slurm.backend.states([job_id]) == {job_id: JobState.RUNNING}


def test_while_slurm_is_silent_a_watcher_asks_rarely_and_sees_ends_all_the_same(slurm: FakeSlurm) -> None:
    ids = submit(slurm, 2)
    assert set(slurm.backend.states(ids).values()) == {JobState.RUNNING}
    for path in slurm.dir.glob("queue*"):
        path.unlink()
    slurm.fault("squeue", 'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1')
    asked = len(slurm.calls("squeue"))
    batch, token = ids[0].split("/")[-2:]
    (slurm.dir / batch / "marks" / f"{token}.3").touch()
    until(lambda: isinstance(slurm.backend.watched_states(ids)[ids[1]], ServerUnavailableError))
    for _ in range(3):
        states = slurm.backend.watched_states(ids)
        assert states[ids[0]] is JobState.FAILED
        assert isinstance(states[ids[1]], ServerUnavailableError)
    assert len(slurm.calls("squeue")) == asked + 1
    slurm.fault("squeue")
    (slurm.dir / "queue.failed").write_text("0\n")
    until(lambda: slurm.backend.watched_states(ids)[ids[1]] is JobState.RUNNING)


def test_a_watcher_does_not_wait_for_slurm(slurm: FakeSlurm) -> None:
    ids = submit(slurm, 2)
    slurm.backend.states(ids)
    answer = slurm.dir / "queue"
    answer.write_text(f"0\n{answer.read_text().partition(chr(10))[2]}")
    slurm.fault("squeue", f"touch '{slurm.folder}/asked'; sleep 3")
    began = time.monotonic()
    assert set(slurm.backend.watched_states(ids).values()) == {JobState.RUNNING}
    until((slurm.folder / "asked").exists)
    batch, token = ids[0].split("/")[-2:]
    (slurm.dir / batch / "marks" / f"{token}.0").touch()
    assert list(slurm.backend.watched_states(ids).values()) == [JobState.FINISHED, JobState.RUNNING]
    assert time.monotonic() - began < 2
    until(lambda: not (slurm.dir / "queue.lock").is_symlink())
    assert answer.read_text()[:1] != "0"


def test_where_the_answer_cannot_be_shared_a_watcher_has_its_own(slurm: FakeSlurm) -> None:
    """As on a full disk. The lock stays for a while, so that Slurm is not asked more often."""
    (job_id,) = submit(slurm)
    slurm.program("touch", "exit 1")
    lock = slurm.dir / "queue.lock"
    assert slurm.backend.watched_states([job_id]) == {job_id: JobState.QUEUING}
    until((slurm.dir / "queue.unshared").is_symlink)
    assert lock.is_symlink()
    lock.unlink()
    assert slurm.backend.watched_states([job_id]) == {job_id: JobState.RUNNING}
    slurm.program("touch", 'exec /usr/bin/touch "$@"')
    lock.unlink()
    assert slurm.backend.watched_states([job_id]) == {job_id: JobState.RUNNING}
    assert sorted(path.name for path in slurm.dir.glob("queue*")) == ["queue", "queue.pace"]


def test_a_lock_that_a_dead_process_left_is_taken_over(slurm: FakeSlurm) -> None:
    (job_id,) = submit(slurm)
    os.symlink(str(int(time.time()) - 100), slurm.dir / "queue.lock")
    assert slurm.backend.states([job_id]) == {job_id: JobState.RUNNING}
    assert not (slurm.dir / "queue.lock").is_symlink()


def test_while_another_process_asks_a_watcher_takes_the_last_answer(slurm: FakeSlurm) -> None:
    (job_id,) = submit(slurm)
    assert slurm.backend.states([job_id]) == {job_id: JobState.RUNNING}
    os.utime(slurm.dir / "queue", (0, 0))
    os.symlink(str(int(time.time())), slurm.dir / "queue.lock")
    began = time.monotonic()
    assert job_id in slurm.backend.watched_states([job_id])
    assert time.monotonic() - began < 2
    assert (slurm.dir / "queue.lock").is_symlink()


# --- recovery's marks ---------------------------------------------------------------------------------------------


def test_marks_of_submissions_that_never_came_go_after_an_hour(slurm: FakeSlurm) -> None:
    (job_id,) = submit(slurm)
    kept = {job_id.split("/")[-2]}
    for name, fate, age in (("11111111", "withdrawn", 7200), ("22222222", "withdrawn", 60), ("33333333", "", 7200)):
        folder = slurm.dir / f"20200101-000000-{name}"
        (folder / "marks").mkdir(parents=True)
        if fate:
            os.symlink(fate, folder / "fate")
            kept |= {folder.name} if age < 3600 else set()
        else:
            # Its inputs may still be on their way.
            kept.add(folder.name)
        os.utime(folder, (time.time() - age, time.time() - age))
    (slurm.dir / "20200101-000000-44444444.gone" / "marks").mkdir(parents=True)
    os.utime(slurm.dir / job_id.split("/")[-2], (0, 0))
    slurm.backend._cluster.run("recover", ["stop"])
    assert set(slurm.folders()) == kept


# --- the shell ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [START, _STAY])
def test_nothing_runs_of_a_script_that_was_cut_on_its_way(tmp_path: Path, start: str) -> None:
    sent: list[bytes] = []
    shell = Shell("", timeout=5)
    shell._command = lambda _command: ["/bin/sh", "-c", f"cat >'{tmp_path}/sent'"]  # type: ignore[method-assign]
    with pytest.raises(ServerError):
        shell.run(f"touch '{tmp_path}/1'; f() {{ touch '{tmp_path}/2'; }}\nf\ntouch '{tmp_path}/34'")
    shell.close()
    sent = [(tmp_path / "sent").read_bytes()]
    length, _, script = sent[0].partition(b"\n")
    assert int(length) == len(script)
    head = length + (b" mark\n" if start == _STAY else b"\n")
    for size in range(0, len(script), 20):
        subprocess.run(["/bin/sh", "-c", start], input=head + script[:size], capture_output=True)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["sent"], script[:size]
    subprocess.run(["/bin/sh", "-c", start], input=head + script, capture_output=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2", "34", "sent"]


def test_a_process_that_was_forked_has_a_shell_of_its_own() -> None:
    shell = Shell("", timeout=20)
    assert shell.ask("echo parent") == "parent\n"
    children = []
    for child in range(4):
        process = os.fork()
        if not process:
            answers = [shell.ask(f"echo {child} {number}") == f"{child} {number}\n" for number in range(30)]
            shell.close()
            os._exit(not all(answers))
        children.append(process)
    assert all(shell.ask(f"echo {number}") == f"{number}\n" for number in range(60))
    assert [os.waitpid(process, 0)[1] for process in children] == [0, 0, 0, 0]
    assert shell.ask("echo still there") == "still there\n"
    shell.close()


def until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
