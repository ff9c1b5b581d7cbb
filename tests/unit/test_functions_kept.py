"""Results and plans in files: whole or not there, of this user alone, one sweep at a time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from jasmin_arc.exceptions import JasminArcError, OperationNotPossibleError
from jasmin_arc.functions.kept import Kept, Sweep
from jasmin_arc.functions.results import RAISED, RETURNED, Outcome

KEY = "ab" + "0" * 62
OTHER = "cd" + "1" * 62
DONE = Outcome(RETURNED, b"what\nwas returned", 1.5)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# --- Results ---


@pytest.mark.parametrize("outcome", [DONE, Outcome(RAISED, b"", 0.0), Outcome(RETURNED, bytes(range(256)) * 5000, 3.0)])
def test_a_result_that_was_kept_is_found(tmp_path: Path, outcome: Outcome) -> None:
    Kept(tmp_path / "a" / "b").keep(KEY, outcome)
    kept = Kept(tmp_path / "a" / "b")
    assert kept.find(KEY) == outcome
    assert kept.find(OTHER) is None
    kept.drop(KEY)
    kept.drop(KEY)
    assert kept.find(KEY) is None


def test_a_newer_result_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    kept.keep(KEY, Outcome(RAISED, b"newer"))
    assert kept.find(KEY) == Outcome(RAISED, b"newer")


def test_only_the_user_can_read_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    kept.keep(KEY, DONE)
    assert files(kept.folder) == [kept.folder / "ab" / KEY]
    assert [path.stat().st_mode & 0o777 for path in (kept.folder, kept.folder / "ab", kept.folder / "ab" / KEY)] == [
        *(0o700, 0o700, 0o600)
    ]


def test_a_damaged_file_counts_as_absent(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    path = tmp_path / "ab" / KEY
    sound = path.read_bytes()
    damaged = [b"", b"\n", b"\n\n\n", b"[" * 100_000, *(sound[:length] for length in range(len(sound)))]
    dice = random.Random(1)
    for place in range(len(sound)):
        damaged.append(sound[:place] + bytes([sound[place] ^ dice.randrange(1, 256)]) + sound[place + 1 :])
    for content in damaged:
        path.write_bytes(content)
        assert kept.find(KEY) is None, content
    path.write_bytes(sound)
    assert kept.find(KEY) == DONE


def test_the_file_of_another_call_counts_as_absent(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    kept.keep(OTHER, DONE)
    (tmp_path / "ab" / KEY).replace(tmp_path / "cd" / OTHER)
    assert kept.find(OTHER) is None
    assert kept.find(KEY) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_counts_as_absent(tmp_path: Path, make: Callable[[Path], None]) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    (tmp_path / "ab" / KEY).unlink()
    make(tmp_path / "ab" / KEY)
    (tmp_path / "ab" / KEY).chmod(0o700)
    before = os.listdir("/proc/self/fd")
    assert kept.find(KEY) is None
    assert len(os.listdir("/proc/self/fd")) == len(before)
    (tmp_path / "cd").write_text("")
    assert kept.find(OTHER) is None


@pytest.mark.timeout(20)
def test_a_pipe_that_somebody_writes_to_counts_as_absent(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    (tmp_path / "ab").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "ab" / KEY, 0o600)
    with open(os.open(tmp_path / "ab" / KEY, os.O_RDWR), "wb", buffering=0):
        assert kept.find(KEY) is None


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "ab", KEY.upper(), KEY + "\n", KEY + "/.."])
def test_a_key_is_a_hash_and_nothing_else(tmp_path: Path, key: str) -> None:
    kept = Kept(tmp_path)
    for use in (kept.find, kept.drop, lambda key: kept.keep(key, DONE)):
        with pytest.raises(ValueError, match="not the hash of a call"):
            use(key)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "kept folder"
    kept = Kept(folder)
    kept.keep(KEY, DONE)
    folder.chmod(mode)
    for use in (lambda: Kept(folder), lambda: Sweep(folder), lambda: kept.find(KEY), lambda: kept.keep(KEY, DONE)):
        with pytest.raises(JasminArcError, match="other users may write to") as raised:
            use()
        assert f"chmod go-w '{folder}'" in str(raised.value)
    folder.chmod(0o755)
    assert kept.find(KEY) == DONE


def test_a_file_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    (tmp_path / "ab" / KEY).chmod(0o620)
    with pytest.raises(JasminArcError, match="other users may write to"):
        kept.find(KEY)


def test_what_belongs_to_another_user_is_refused(tmp_path: Path, mocker: MockerFixture) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    mocker.patch("os.geteuid", return_value=os.geteuid() + 1)
    for use in (lambda: Kept(tmp_path), lambda: kept.find(KEY), lambda: kept.keep(OTHER, DONE)):
        with pytest.raises(JasminArcError, match="belongs to another user"):
            use()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("place", ["", "ab/" + KEY, "link"])
def test_the_files_and_links_of_another_user_are_refused(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "kept"
    kept = Kept(folder)
    kept.keep(KEY, DONE)
    if place == "link":
        kept.folder = tmp_path / "link"
        kept.folder.symlink_to(folder)
        assert kept.find(KEY) == DONE
        os.chown(kept.folder, 65534, -1, follow_symlinks=False)
    else:
        os.chown(folder / place, 65534, -1)
    with pytest.raises(JasminArcError, match="belongs to another user"):
        kept.find(KEY)


def test_what_cannot_be_written_is_said_and_leaves_the_older_result(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.keep(KEY, DONE)
    (tmp_path / "cd").write_text("")
    with pytest.raises(JasminArcError, match=rf"^cannot write {tmp_path}/cd/{OTHER}: .*; free some space"):
        kept.keep(OTHER, DONE)
    with pytest.raises(JasminArcError, match=r"^cannot use .*/file/kept: .*; free some space"):
        (tmp_path / "file").write_text("")
        Kept(tmp_path / "file" / "kept")
    assert kept.find(KEY) == DONE


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    # No file may be larger than this; the signal of the limit is ignored, so that write() fails.
    program = f"""
import resource, signal, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from jasmin_arc.functions.kept import Kept, Outcome
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
Kept(Path({str(tmp_path)!r})).keep({KEY!r}, Outcome("returned", b"x" * 6000))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "JasminArcError: cannot write" in result.stderr
    assert "File too large; free some space" in result.stderr
    assert files(tmp_path) == []


def test_what_killed_processes_left_is_erased_after_a_while(tmp_path: Path) -> None:
    Kept(tmp_path).keep(KEY, DONE)
    left, fresh, foreign = tmp_path / ".jasmin-arc-new-1", tmp_path / ".jasmin-arc-new-2", tmp_path / "notes"
    for path in (left, fresh, foreign):
        path.write_text("")
        os.utime(path, (0, 0) if path != fresh else None)
    Kept(tmp_path)
    assert files(tmp_path) == sorted([fresh, tmp_path / "ab" / KEY, foreign])


def test_threads_that_write_and_read_the_same_result_see_it_whole(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    outcomes = [Outcome(RETURNED, bytes([number]) * 100_000) for number in range(4)]
    kept.keep(KEY, outcomes[0])
    found: list[Outcome | None] = []
    writers = [
        threading.Thread(target=lambda outcome=outcome: [kept.keep(KEY, outcome) for _ in range(30)])
        for outcome in outcomes
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        found.append(kept.find(KEY))
    assert all(outcome in outcomes for outcome in found)
    assert len(files(tmp_path)) == 1


# --- Plans ---


def test_a_plan_is_found_by_its_digest(tmp_path: Path) -> None:
    with Sweep(tmp_path / "sweep") as sweep:
        digest = sweep.plan([KEY, OTHER, KEY])
        assert len(bytes.fromhex(digest)) == 8
        assert sweep.plan([KEY, OTHER, KEY]) == digest
        assert sweep.plan([OTHER, KEY]) != digest
    with Sweep(tmp_path / "sweep") as sweep:
        assert sweep.planned(digest) == (KEY, OTHER, KEY)
        sweep.drop_plan(digest)
        sweep.drop_plan(digest)
        assert sweep.planned(digest) is None


def test_a_damaged_plan_counts_as_absent(tmp_path: Path) -> None:
    with Sweep(tmp_path) as sweep:
        digest = sweep.plan([KEY, OTHER])
        path = tmp_path / "plans" / digest
        sound = path.read_bytes()
        for content in (b"", sound[:-1], sound[:64], sound.upper(), b"\xff" + sound):
            path.write_bytes(content)
            assert sweep.planned(digest) is None
        path.unlink()
        path.mkdir()
        assert sweep.planned(digest) is None


@pytest.mark.parametrize("name", ["", "..", "../results", "a" * 15, "A" * 16, "a" * 16 + "\n", "\x00", "/etc/passwd"])
def test_the_name_of_a_job_leads_to_no_other_file(tmp_path: Path, name: str) -> None:
    with Sweep(tmp_path) as sweep:
        assert sweep.planned(name) is None
        sweep.drop_plan(name)


def test_a_plan_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with Sweep(tmp_path) as sweep:
        (tmp_path / "plans").rmdir()
        (tmp_path / "plans").write_text("")
        with pytest.raises(JasminArcError, match=r"^cannot use .*/plans: File exists; free some space"):
            sweep.plan([KEY])


def test_a_plan_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    with Sweep(tmp_path) as sweep:
        digest = sweep.plan([KEY])
        (tmp_path / "plans" / digest).chmod(0o666)
        with pytest.raises(JasminArcError, match="other users may write to"):
            sweep.planned(digest)


def test_a_sweep_forgets_all_and_goes_on(tmp_path: Path) -> None:
    with Sweep(tmp_path) as sweep:
        digest = sweep.plan([KEY])
        sweep.results.keep(KEY, DONE)
        sweep.forget()
        assert sweep.planned(digest) is None
        assert sweep.results.find(KEY) is None
        assert files(tmp_path) == [tmp_path / "lock"]
        sweep.results.keep(KEY, DONE)
        assert sweep.planned(sweep.plan([KEY])) == (KEY,)
        with pytest.raises(OperationNotPossibleError):
            Sweep(tmp_path)


# --- One at a time ---


def test_a_sweep_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "ocean"
    with Sweep(folder) as sweep:
        with pytest.raises(OperationNotPossibleError) as raised:
            Sweep(folder)
        holder = f"process {os.getpid()} on {os.uname().nodename}"
        assert str(raised.value).startswith(f"the sweep 'ocean' is in use by {holder}; wait until")
        sweep.close()
        sweep.close()
        Sweep(folder).close()


HOLDER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from jasmin_arc.functions.kept import Sweep
with Sweep(Path({folder!r})):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_named_and_its_end_frees_the_sweep(tmp_path: Path) -> None:
    program = HOLDER.format(path=sys.path, folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(OperationNotPossibleError, match=f"in use by process {process.pid} on "):
            Sweep(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        Sweep(tmp_path).close()


def test_a_forked_child_does_not_hold_what_the_parent_closed(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    try:
        sweep.close()
        Sweep(tmp_path).close()
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_a_file_system_without_locks_is_good_enough(tmp_path: Path, mocker: MockerFixture) -> None:
    mocker.patch("fcntl.flock", side_effect=OSError(37, "No locks available"))
    with Sweep(tmp_path) as sweep:
        assert sweep.planned(sweep.plan([KEY])) == (KEY,)


def test_the_text_of_a_holder_cannot_harm_the_terminal(tmp_path: Path) -> None:
    with Sweep(tmp_path):
        (tmp_path / "lock").write_bytes(b"\x1b[31mevil\xff\n")
        with pytest.raises(OperationNotPossibleError) as raised:
            Sweep(tmp_path)
        assert str(raised.value).isprintable()
