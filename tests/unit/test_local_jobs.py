"""The local backend: what jobs on this machine do, run for real."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from local_kit import Kit, alive, shell, until

from jasmin_arc import ArcInterface, JobDescription, JobNotFoundError, OperationNotPossibleError, PartialFailureError
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.exceptions import InputFileError, JobSubmissionError


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    kit.close()


def test_a_job_runs_and_what_is_known_of_it(kit: Kit) -> None:
    job_id = kit.one("echo out; echo err >&2; echo kept > output", name="first")
    (info,) = kit.ended(job_id)
    assert job_id.startswith(f"local://{os.uname().nodename}/")
    assert (info.state, info.native_state, info.exit_code, info.errors) == ("Finished", "FINISHED", 0, ())
    assert (info.name, info.queue, info.slots, info.nodes) == ("first", "local", 1, (os.uname().nodename,))
    assert info.submitted and info.started and info.ended
    assert info.submitted <= info.started <= info.ended
    assert info.wall_time == info.ended - info.started
    assert info.cpu_time is not None
    assert info.memory
    assert (kit.read(job_id), kit.read(job_id, "stderr"), kit.read(job_id, "output")) == (b"out\n", b"err\n", b"kept\n")


def test_the_exit_code_of_a_failure(kit: Kit) -> None:
    failed = kit.run("echo no >&2; exit 3")
    assert (failed.state, failed.exit_code, failed.errors) == ("Failed", 3, ("LRMS error: (3) Job failed",))
    assert kit.run("kill -9 $$").exit_code == 137
    (missing,) = kit.ended(*kit.submit(JobDescription(executable="/no/such/program", outputs=[])))
    assert (missing.state, missing.exit_code) == ("Failed", 127)
    assert b"/no/such/program" in kit.read(missing.id, "stderr")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(texts, min_size=1, max_size=20), min_size=5, max_size=5), texts)
def test_hostile_arguments_and_variables_arrive_exactly(kit: Kit, lists: list[list[str]], value: str) -> None:
    script = 'printf "%s\\0" "$VALUE" "$@"'
    jobs = [
        JobDescription(
            executable="sh", arguments=["-c", script, "sh", *words], environment={"VALUE": value}, outputs=[]
        )
        for words in lists
    ]
    for words, info in zip(lists, kit.ended(*kit.submit(*jobs))):
        assert kit.read(info.id).decode().split("\0")[:-1] == [value, *words]


def test_the_session_folder_holds_the_inputs_alone_and_the_environment_little(
    kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_PASSWORD", "secret")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "a").write_bytes(b"A")
    inputs = {"tree": tmp_path / "tree", "b": b"B"}
    info = kit.run("find . -type f | sort; cat tree/sub/a b; env >&2; cat", inputs=inputs, stdin=b"in\n")
    lines = kit.read(info.id).split()
    assert lines == [
        b"./.jasmin_arc_run",
        b"./.jasmin_arc_stdin",
        b"./b",
        b"./stderr",
        b"./stdout",
        b"./tree/sub/a",
        b"ABin",
    ]
    environment = dict(line.split("=", 1) for line in kit.read(info.id, "stderr").decode().splitlines())
    assert environment["HOME"]
    assert environment["PATH"]
    assert environment["JASMIN_ARC_JOB_ID"] == info.id
    assert "A_PASSWORD" not in environment


def test_inputs_that_are_executable_here_are_so_in_the_session_folder(kit: Kit, tmp_path: Path) -> None:
    for name in ("tree/sub/helper", "tool", "data"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\necho helped\n")
        (tmp_path / name).chmod(0o644 if name == "data" else 0o755)
    inputs = {name: tmp_path / name for name in ("tree", "tool", "data")}
    info = kit.run("tree/sub/helper && ./tool && ! [ -x data ]", inputs=inputs)
    assert (info.exit_code, kit.read(info.id)) == (0, b"helped\n" * 2)


def test_hidden_outputs_are_kept(kit: Kit) -> None:
    info = kit.run("mkdir sub; touch .h sub/.h sub/x y", outputs=[".*", "sub/.*"])
    assert set(kit.files(info.id)) == {".h", "stderr", "stdout", "sub", "sub/.h"}


def test_outputs_are_kept_and_the_rest_is_deleted(kit: Kit) -> None:
    script = (
        "mkdir -p deep/kept deep/lost folder/sub shut/in; touch deep/kept/x deep/lost/y folder/sub/z input shut/in/w;"
        "touch a.nc b.nc c.txt 'n c.nc'; chmod 500 shut/in shut; ln -s /etc/passwd link; ln -s /etc outside"
    )
    info = kit.run(script, outputs=["deep/kept/x", "folder", "*.nc", "missing", "outside"], inputs={"given": b"."})
    assert info.state == "Finished"
    assert set(kit.files(info.id)) == {
        *("a.nc", "b.nc", "n c.nc", "deep", "deep/kept", "deep/kept/x", "folder", "folder/sub", "folder/sub/z"),
        *("stderr", "stdout"),
    }
    session = Path(kit.layout.session(info.id.rpartition("/")[2]))
    assert {path.name for path in session.iterdir()} == {
        *("a.nc", "b.nc", "n c.nc", "deep", "folder", "stdout", "stderr", "outside")
    }


def test_a_tree_too_deep_for_a_path_is_deleted_all_the_same(kit: Kit) -> None:
    dig = f"{sys.executable} -S -c \"import os\nfor _ in range(%d): os.mkdir('d' * 50); os.chdir('d' * 50)\""
    info = kit.run(f"mkdir output; {dig % 1100}; cd output; {dig % 100}")
    assert info.state == "Finished", info.errors
    session = Path(kit.layout.session(info.id.rpartition("/")[2]))
    assert {path.name for path in session.iterdir()} == {"output", "stderr", "stdout"}
    assert kit.backend.clean([info.id]) == {}
    assert not session.parent.exists()


def test_outputs_of_a_failed_job_are_kept_too(kit: Kit) -> None:
    info = kit.run("echo partial > output; touch other; exit 1")
    assert kit.files(info.id) == ["output", "stderr", "stdout"]


def test_all_is_private(kit: Kit) -> None:
    kit.run("echo > output", inputs={"i": b""})
    kit.kill_runner()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (kit.folder / "state").rglob("*")}
    session = Path(kit.layout.jobs)
    own = {path: mode for path, mode in modes.items() if session not in path.parents or path.name == "session"}
    assert {mode & 0o077 for mode in own.values()} == {0}
    assert stat.S_IMODE((kit.folder / "state").stat().st_mode) == 0o700


def test_reading_stays_inside_the_session_folder(kit: Kit) -> None:
    info = kit.run("mkdir output; ln -s /etc/passwd output/link; mkfifo output/pipe; ln -s . output/loop; echo 12345")
    assert kit.files(info.id) == ["output", "stderr", "stdout"]
    for path in ("output/link", "output/pipe", "output", "../claim", "/../../jobs.sqlite", "missing", "", "a\0b"):
        with pytest.raises(JobNotFoundError):
            kit.backend.open(info.id, path)
    for path in ("..", "missing", "stdout", "/.."):
        with pytest.raises(JobNotFoundError):
            kit.backend.list_files(info.id, path)
    with kit.backend.open(info.id, "stdout", 3) as stream:
        assert stream.read() == b"45\n"


def test_cancel_ends_the_whole_tree(kit: Kit) -> None:
    # One in a session of its own, and one that is an orphan too.
    script = (
        "setsid sleep 300 & echo $! >> pids; (setsid sh -c 'sleep 300 & echo $! >> pids; exit' &) ;"
        "until [ $(wc -l < pids) -ge 2 ]; do sleep 0.05; done; mv pids output; sleep 300"
    )
    job_id = kit.one(script)
    pids = [int(word) for word in kit.written(job_id, "output").split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    assert kit.backend.cancel([job_id, job_id]) == {}
    (info,) = kit.ended(job_id)
    assert not any(alive(pid) for pid in pids)
    assert (info.state, info.native_state, info.exit_code) == ("Killed", "KILLED", None)
    assert "cancel" in info.errors[0]
    assert kit.backend.cancel([job_id]) == {}


def test_a_job_may_use_the_time_between_the_request_to_end_and_the_end(kit: Kit) -> None:
    job_id = kit.one("trap 'echo saved > output; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    kit.written(job_id, "stdout")
    kit.backend.cancel([job_id])
    assert kit.ended(job_id)[0].state == "Killed"
    assert kit.read(job_id, "output") == b"saved\n"


def test_nothing_of_a_job_lives_on_after_its_end(kit: Kit) -> None:
    info = kit.run("setsid sleep 300 & echo $! > output")
    assert info.state == "Finished"
    assert not alive(int(kit.read(info.id, "output")))


def test_the_wall_time_limit(kit: Kit) -> None:
    info = kit.run("sleep 300", wall_time=1)
    assert info.state == "Failed"
    assert info.exit_code is None
    assert info.errors == ("LRMS error: (271) Job timeout", "the job was killed at its wall-time limit of 1 s")
    assert info.wall_time
    assert timedelta(seconds=1) <= info.wall_time < timedelta(seconds=20)


def test_jobs_queue_behind_the_slots_first_come_first_served(kit: Kit) -> None:
    first, *others = kit.submit(
        shell("until [ -e output ]; do sleep 0.02; done"),
        shell("true", slots=2),
        shell("true"),
        shell("true"),
    )
    kit.running(first)
    # There is a free slot, but the first in the queue needs two, and nobody overtakes it.
    assert [kit.info(job_id).native_state for job_id in others] == ["QUEUING"] * 3
    assert [kit.info(job_id).position for job_id in others] == [1, 2, 3]
    (queue,) = kit.backend.site().queues
    assert (queue.total_slots, queue.free_slots, queue.running, queue.waiting) == (2, 1, 1, 3)
    kit.backend.cancel([others[1]])
    assert kit.ended(others[1])[0].state == "Killed"
    Path(kit.layout.session(first.rpartition("/")[2]), "output").touch()
    infos = kit.ended(first, *others)
    assert [info.state for info in infos] == ["Finished", "Finished", "Killed", "Finished"]
    assert infos[0].ended and infos[1].started and infos[1].ended and infos[3].started
    assert infos[0].ended <= infos[1].started <= infos[1].ended <= infos[3].started
    assert kit.files(others[1]) == []


def test_what_cannot_run_here_is_refused_with_what_is_possible(kit: Kit, tmp_path: Path) -> None:
    refusals = {
        "3 slots.*there are 2.*LOCAL_SLOTS": shell("", slots=3),
        "no queue 'par'.*'local'": shell("", queue="par"),
        "slots_per_host": shell("", slots=2, slots_per_host=1),
        "ENV/PROXY": shell("", runtime_environments=["ENV/PROXY"]),
        "possible are http://, https://": shell("", inputs=["gsiftp://user:pass@host/f?t"]),
        "from https://…; that is no valid URL": shell("", inputs={"x": "https://user:pass@h.example:99999/x?token"}),
        "http://…; that is no": shell("", inputs={"x": "http://user:pass@[::1/x?token"}),
        "kept for download": shell("", outputs={"o": "https://user:pass@host/o?token"}),
    }
    for reason, description in refusals.items():
        with pytest.raises(JobSubmissionError, match=reason) as caught:
            kit.submit(description)
        assert "pass" not in str(caught.value)
        assert "token" not in str(caught.value)
    with pytest.raises(InputFileError):
        kit.submit(shell("", inputs=[tmp_path / "missing"]))
    assert kit.backend.list_jobs() == kit.job_list.ids() == []


def test_one_bad_job_does_not_spoil_the_rest(kit: Kit, tmp_path: Path) -> None:
    done: list[int] = []
    good, bad, other = kit.backend.submit(
        [shell("true"), shell("true", inputs=[tmp_path / "missing"]), shell("true")], progress=done.append
    )
    assert isinstance(bad, InputFileError)
    assert sum(done) == 3
    assert {info.state for info in kit.ended(str(good), str(other))} == {"Finished"}
    assert kit.job_list.ids(kit.backend.endpoint) == kit.backend.list_jobs() == [good, other]


def test_cleaning(kit: Kit) -> None:
    ended, running = kit.submit(shell("chmod 0 ."), shell("sleep 300"))
    kit.ended(ended)
    failures = kit.backend.clean([ended, running])
    assert list(failures) == [running]
    assert isinstance(failures[running], OperationNotPossibleError)
    assert kit.backend.list_jobs() == [running]
    assert kit.backend.query([ended]) == {}
    assert [path.name for path in Path(kit.layout.jobs).iterdir()] == [running.rpartition("/")[2]]
    kit.job_list.set_final({ended: "Finished"})
    assert kit.backend.clean([ended]) == {}
    kit.job_list.remove([ended])
    assert kit.backend.clean([ended]) == {}


def test_jobs_of_another_folder_are_left_alone_and_of_a_removed_one_are_gone(tmp_path: Path) -> None:
    options = {"BACKEND": "local", "JOBS_INFO_FILE": str(tmp_path / "jobs.dat")}
    with ArcInterface(log=None, config={**options, "LOCAL_DIR": str(tmp_path / "one")}) as arc:
        job_id = arc.submit_job("true")
        arc.wait([job_id])
    with ArcInterface(log=None, config={**options, "LOCAL_DIR": str(tmp_path / "one" / "other")}) as arc:
        assert arc.list_jobs() == []
        for force in (False, True):
            with pytest.raises(PartialFailureError, match=f"not in LOCAL_DIR, {tmp_path}/one/other; .* set LOCAL_DIR"):
                arc.clean_jobs([job_id], force=force)
        assert job_id in arc.job_list.get([job_id])
        with pytest.raises(PartialFailureError):
            arc.clean_jobs(["https://ce.example.org/arex/rest/1.0/jobs/abc"], force=True)
    shutil.rmtree(tmp_path / "one")
    with ArcInterface(log=None, config={**options, "LOCAL_DIR": str(tmp_path / "one")}) as arc:
        assert arc.list_jobs() == [job_id]
        arc.clean_jobs([job_id], force=True)
        assert arc.list_jobs() == []


def test_an_id_says_where_its_job_lives(tmp_path: Path) -> None:
    (tmp_path / "real é#").mkdir()
    (tmp_path / "link").symlink_to("real é#")
    kit = Kit(tmp_path / "link")
    endpoint = f"local://{os.uname().nodename}{tmp_path}/real%20%C3%A9%23/state"
    assert kit.backend.endpoint == endpoint
    (job_id,) = kit.submit(shell("true"))
    assert job_id == f"{endpoint}/{kit.info(job_id).native_id}"
    assert kit.backend.owns(job_id)
    assert kit.job_list.ids(endpoint) == [job_id]
    key = job_id.rpartition("/")[2]
    for wrong in (f"{endpoint}/x/{key}", f"{endpoint.rpartition('/')[0]}/{key}", "local://elsewhere/1", endpoint, "no"):
        assert not kit.backend.owns(wrong)
    assert set(kit.backend.clean(["local://elsewhere/1", f"{endpoint}/gone"])) == {"local://elsewhere/1"}
    kit.close()


@pytest.mark.parametrize("root", ["/", "/a", "/a/b", b"/\xff"])
def test_ids_belong_to_one_folder(root: str | bytes) -> None:
    ids = Layout(os.fsdecode(root), "host")
    assert ids.split(ids.id("key")) == ("host", "key")
    assert ids.split(ids.id("key", "other")) == ("other", "key")
    assert ids.key(ids.id("key", "other")) == ""
    assert ids.id("key").startswith(ids.endpoint + "/")
    for other in ("/", "/a", "/a/b", "/b", "/a/b/c"):
        if other != root:
            assert ids.split(Layout(other, "host").id("key")) is None


def test_unknown_jobs(kit: Kit) -> None:
    known = kit.run("true").id
    key = known.rpartition("/")[2]
    wrong = [known.replace("://", "://not-"), known + "0", "local:///" + key, "https://h/" + key, "", known + "/.."]
    assert kit.backend.query(wrong) == kit.backend.states(wrong) == {}
    assert set(kit.backend.cancel(wrong)) == set(wrong)
    for job_id in wrong:
        for call in (kit.backend.evidence, kit.backend.list_files, lambda job_id: kit.backend.open(job_id, "stdout")):
            with pytest.raises(JobNotFoundError):
                call(job_id)


def test_evidence(kit: Kit) -> None:
    info = kit.run("echo the reason >&2; exit 4")
    evidence = kit.backend.evidence(info.id)
    assert "the reason" not in "".join(evidence.values())
    assert "(4)" in evidence["failed"]
    assert "FAILED" in evidence["status"]


def test_another_process_sees_the_job_and_its_end(kit: Kit) -> None:
    job_id = kit.one("echo hello; until [ -e output ]; do sleep 0.02; done")
    kit.written(job_id, "stdout")
    script = (
        "import logging, sys; from pathlib import Path; sys.path.insert(0, sys.argv[3])\n"
        "from local_kit import Kit\n"
        "kit = Kit(Path(sys.argv[1])); job_id = sys.argv[2]\n"
        "print(kit.info(job_id).state, kit.read(job_id).decode().strip())\n"
        "Path(kit.layout.session(job_id.rpartition('/')[2]), 'output').touch()\n"
        "print(kit.ended(job_id)[0].state)\n"
    )
    argv = [sys.executable, "-c", script, str(kit.folder), job_id, str(Path(__file__).parent)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["Running", "hello", "Finished"], done.stderr


def test_the_runner_ends_when_nothing_is_left_and_another_starts(kit: Kit) -> None:
    kit.run("true")
    until(kit.no_runner, "for the runner to end")
    assert kit.runners() == []
    assert kit.run("true").state == "Finished"


def test_signals_reach_the_job_as_usual(kit: Kit) -> None:
    # The runner is a background process of a shell, and Python ignores SIGPIPE: neither is passed on.
    info = kit.run("grep SigIgn /proc/self/status; yes | true; kill -INT $$; echo survived")
    assert info.exit_code == 130
    assert int(kit.read(info.id).split()[1], 16) & (2**31 - 1) == 0
