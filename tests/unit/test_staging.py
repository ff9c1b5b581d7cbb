"""Outputs arrive whole, in their folder, under their names, or not at all."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_backend import MemoryBackend

from jasmin_arc.exceptions import (
    InvalidJobDescription,
    JasminArcError,
    JobNotFoundError,
    OutputError,
    ServerUnavailableError,
)
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.staging.outputs import EVERYTHING, folders_of, save_many
from jasmin_arc.staging.session_tree import MAX_DEPTH, SessionTree, list_tree
from jasmin_arc.staging.target_folder import TargetFolder

TREE = {
    "stdout": b"out",
    "stderr": b"",
    "result.nc": b"\x89HDF" * 100,
    "output/a.txt": b"a",
    "output/deep/er/b.txt": b"b",
    "output/empty": None,
    ".hidden": b"h",
    ".jasmin_arc_run": b"#!/bin/sh",
    "other.txt": b"other",
}


def tree(folder: Path) -> dict[str, bytes | None]:
    """All that is below a folder: contents by path, ``None`` for empty folders."""
    found: dict[str, bytes | None] = {}
    for path in folder.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(folder))] = path.read_bytes()
        elif not any(path.iterdir()):
            found[str(path.relative_to(folder))] = None
    return found


def save_outputs(
    backend: MemoryBackend, job_id: str, directory: Path, *, outputs: Sequence[str], **options: Any
) -> list[Path]:
    saved = save_many(backend, {job_id: directory}, outputs=lambda _: outputs, **options)[job_id]
    if isinstance(saved, JasminArcError):
        raise saved
    return saved


def save(files: dict[str, object], target: Path, *outputs: str, overwrite: bool = False) -> list[Path]:
    return save_outputs(MemoryBackend(files), "job", target, outputs=outputs, overwrite=overwrite)


# --- What is saved ---


def test_streams_and_the_named_outputs_are_saved(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder"
    saved = save(TREE, target, "result.nc", "output", "absent")
    expected = {
        "stdout.txt": b"out",
        "stderr.txt": b"",
        "result.nc": TREE["result.nc"],
        "output/a.txt": b"a",
        "output/deep/er/b.txt": b"b",
        "output/empty": None,
    }
    assert tree(target) == expected
    assert saved == sorted(target / name for name in expected)


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path) -> None:
    assert save({}, tmp_path / "target", "output", "*.nc") == []
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", {"other.txt"}),
        ("*", {"result.nc", "other.txt", "output/a.txt", "output/deep/er/b.txt", "output/empty"}),
        (".h*", {".hidden"}),
        ("output/*.txt", {"output/a.txt"}),
        ("out*/d??p/[a-f]r/*", {"output/deep/er/b.txt"}),
        ("output/[!e]*", {"output/a.txt", "output/deep/er/b.txt"}),
        ("./output//a.txt", {"output/a.txt"}),
        ("other.txt/x", set()),
        ("*/nothing", set()),
    ],
)
def test_patterns_are_those_of_a_shell(tmp_path: Path, pattern: str, expected: set[str]) -> None:
    save(TREE, tmp_path, pattern)
    assert set(tree(tmp_path)) == expected | {"stdout.txt", "stderr.txt"}


def test_only_the_folders_that_matter_are_listed(tmp_path: Path) -> None:
    backend = MemoryBackend({"a/b/c": b"", "d/e": b"", "f": b""})
    save_outputs(backend, "job", tmp_path, outputs=["a/b", "f", "f"])
    assert sorted(backend.listed) == ["", "a", "a/b"]
    assert sorted(backend.opened) == ["a/b/c", "f"]


DEEP = {"a/b/c": b"1", "a/d/e/f": b"2", "a/empty": None, "g": b"3", "a/b-": b"4"}


def test_a_place_that_lists_a_tree_in_one_call_is_asked_once(tmp_path: Path) -> None:
    backend = MemoryBackend(DEEP)
    save_outputs(backend, "job", tmp_path, outputs=["a"])
    assert backend.listed == ["", "a"]
    assert tree(tmp_path) == {name: content for name, content in DEEP.items() if name != "g"}


def test_a_tree_is_listed_by_several_requests_where_each_lists_one_folder() -> None:
    backend = MemoryBackend(DEEP)
    for path in ("", "a", "a/empty"):
        found = list_tree(lambda job_id, path: backend.list_files(job_id, path), "job", path)
        assert sorted(found, key=str) == sorted(backend.list_files("job", path, recursive=True), key=str)
    with pytest.raises(JobNotFoundError):
        list_tree(lambda job_id, path: backend.list_files(job_id, path), "unknown", "")


def test_an_endless_tree_ends_also_where_it_is_listed_at_once() -> None:
    with pytest.raises(OutputError, match="nested"):
        list_tree(lambda job_id, path: [RemoteFile(f"{path}/d" if path else "d", is_dir=True)], "job", "")


@pytest.mark.parametrize("name", ["../x", "/etc", ".", "a/b", "d\n", ""])
def test_folders_with_impossible_names_are_not_entered(name: str) -> None:
    asked: list[str] = []

    def list_folder(job_id: str, path: str) -> list[RemoteFile]:
        asked.append(path)
        return [RemoteFile(f"d/{name}", is_dir=True)]

    assert list_tree(list_folder, "job", "d") == [RemoteFile(f"d/{name}", is_dir=True)]
    assert asked == ["d"]


def test_small_files_are_fetched_together_and_large_ones_by_themselves(tmp_path: Path) -> None:
    groups: list[list[str]] = []

    class Grouping(MemoryBackend):
        def fetch(self, job_id: str, names: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
            groups.append(list(names))
            # As an archive may have them, in another order.
            return super().fetch(job_id, list(reversed(names)))

    files: dict[str, object] = {f"s{number}": b"x" for number in range(6)}
    large = {f"l{number}": bytes(2**20 + number) for number in range(2)}
    save_outputs(Grouping({**files, **large}), "job", tmp_path, outputs=["*"], workers=2)
    assert sorted(map(sorted, groups)) == [["l0"], ["l1"], ["s0", "s1", "s2", "s3"], ["s4", "s5"]]
    assert tree(tmp_path) == {**files, **large}


@pytest.mark.parametrize(("sent", "reason"), [(["x"], "'y'.*did not arrive"), (["x", "z"], "'y'.*'z' came instead")])
def test_a_group_that_is_not_what_was_asked_for_is_an_error(tmp_path: Path, sent: list[str], reason: str) -> None:
    class Wrong(MemoryBackend):
        def fetch(self, job_id: str, names: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
            return super().fetch(job_id, sent)

    backend = Wrong(dict.fromkeys("xyz", b""))
    with pytest.raises(OutputError, match=reason):
        save_outputs(backend, "job", tmp_path, outputs=["x", "y"], workers=1)
    assert tree(tmp_path) == {"x": b""}


def test_an_output_called_like_a_stream_keeps_its_name(tmp_path: Path) -> None:
    save({"stdout": b"stream", "stdout.txt": b"output"}, tmp_path, "stdout.txt", "stdout")
    assert tree(tmp_path) == {"stdout.txt": b"output", "stdout": b"stream"}


class Renaming(MemoryBackend):
    """A place whose jobs call their standard output and error as they like."""

    names: Mapping[str, str] = {}
    asked = 0

    def streams(self, job_id: str) -> dict[str, str]:
        self.asked += 1
        return dict(self.names)


def save_everything(files: Mapping[str, object], target: Path, names: Mapping[str, str]) -> Renaming:
    backend = Renaming(files)
    backend.names = names
    save_outputs(backend, "job", target, outputs=EVERYTHING)
    return backend


def test_everything_that_a_job_of_another_tool_has_kept_is_saved(tmp_path: Path) -> None:
    files = {"out": b"1", "logs/err": b"2", "logs/x": b"3", "d/empty": None, ".hidden": b"4", ".jasmin_arc_x": b""}
    save_everything(files, tmp_path, {"stdout": "out", "stderr": "logs/err"})
    expected = {"stdout.txt": b"1", "stderr.txt": b"2", "logs/x": b"3", "d/empty": None, ".hidden": b"4"}
    assert tree(tmp_path) == expected


@pytest.mark.parametrize(
    ("files", "names", "expected"),
    [
        # One file is both.
        ({"both": b"1"}, {"stdout": "both", "stderr": "both"}, {"stdout.txt": b"1"}),
        # They are called as they are saved, or the other way round.
        ({"stdout.txt": b"1"}, {"stdout": "stdout.txt", "stderr": "e"}, {"stdout.txt": b"1"}),
        ({"stderr.txt": b"1"}, {"stdout": "stderr.txt"}, {"stdout.txt": b"1"}),
        # The name is taken by an output.
        ({"stdout.txt": b"1", "o/out": b"2"}, {"stdout": "o/out"}, {"stdout.txt": b"1", "o/out": b"2"}),
        # They are not kept, or it is not known which they are, or what is told is no file.
        ({"x": b"1"}, {"stdout": "gone", "stderr": "no/where"}, {"x": b"1"}),
        ({"x": b"1"}, {}, {"x": b"1"}),
        ({"folder/x": b"1", "y": b"2"}, {"stdout": "folder", "stderr": "y/z"}, {"folder/x": b"1", "y": b"2"}),
        # It looks like a pattern.
        ({"[o]*": b"1", "o": b"2"}, {"stdout": "[o]*"}, {"stdout.txt": b"1", "o": b"2"}),
    ],
)
def test_streams_with_names_of_their_own(
    tmp_path: Path, files: dict[str, object], names: dict[str, str], expected: dict[str, bytes]
) -> None:
    save_everything(files, tmp_path, names)
    assert tree(tmp_path) == expected


@pytest.mark.parametrize("files", [{}, {"stdout": b"1"}, {"stdout": b"1", "stderr": b"2", "x": b"3"}])
def test_the_place_is_not_asked_for_names_that_are_the_usual_ones(tmp_path: Path, files: dict[str, bytes]) -> None:
    assert save_everything(files, tmp_path, {"stdout": "x"}).asked == 0
    assert tree(tmp_path) == {f"{name}.txt" if name != "x" else "x": content for name, content in files.items()}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", ".jasmin_arc_run"])
def test_an_output_outside_the_session_directory_is_the_callers_mistake(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidJobDescription, match="outputs"):
        save(TREE, tmp_path, name)


def test_an_unknown_job_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(JobNotFoundError):
        save_outputs(MemoryBackend({}), "unknown", tmp_path, outputs=[])


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    size = 5 * 1024 * 1024 + 17
    plans: list[tuple[int, int]] = []
    pieces: list[int] = []
    save_outputs(
        MemoryBackend({"big": bytes(size), "stdout": b"x", "folder": None}),
        "job",
        tmp_path,
        outputs=["big", "folder"],
        planned=lambda files, total: plans.append((files, total)),
        progress=pieces.append,
    )
    assert plans == [(2, size + 1)]
    assert sum(pieces) == size + 1
    assert max(pieces) == 1024 * 1024


def test_many_jobs_get_a_folder_and_an_answer_each(tmp_path: Path) -> None:
    done: list[None] = []
    jobs = {name: tmp_path / name for name in ("one", "two", "unknown")}
    backend = MemoryBackend({"stdout": b"out", "x": b"x"})
    results = save_many(
        backend, jobs, outputs=lambda job: ["x"] if job == "two" else [], job_done=lambda: done.append(None)
    )
    assert results["one"] == [tmp_path / "one" / "stdout.txt"]
    assert results["two"] == [tmp_path / "two" / "stdout.txt", tmp_path / "two" / "x"]
    assert isinstance(results["unknown"], JobNotFoundError)
    assert len(done) == 3


def test_jobs_of_different_places_never_share_a_folder(tmp_path: Path) -> None:
    shared = [
        "https://one.example/arex/rest/1.0/jobs/abc",
        "https://two.example:8443/arex/rest/1.0/jobs/abc",
        "https://two.example:8453/arex/rest/1.0/jobs/abc/",
        "local://node1/abc",
    ]
    folders = folders_of(dict.fromkeys([*shared, "local://node1/def"], ""), tmp_path)
    names = ["abc-one.example", "abc-two.example_8443", "abc-two.example_8453", "abc-node1", "def"]
    assert list(folders.values()) == [tmp_path / name for name in names]


def test_a_folder_is_called_like_its_job(tmp_path: Path) -> None:
    names = {
        "https://ce/jobs/45PLDmnL0oAo": "sst 1961",
        "https://ce/jobs/77aaaaaaaaaa": "../../etc/passwd",
        "https://ce/jobs/88aaaaaaaaaa": "",
        "https://ce/jobs/99aaaaaaaaaa": "é" * 200,
        "https://ce/jobs/00aaaaaaaaaa": "a\x1b[2J\u202eb\x85",
    }
    folders = [path.name for path in folders_of(names, tmp_path).values()]
    assert folders == [
        "sst_1961-45PLDmnL",
        "etc_passwd-77aaaaaa",
        "88aaaaaa",
        "é" * 75 + "-99aaaaaa",
        "a_[2J_b-00aaaaaa",
    ]


def test_jobs_with_one_name_and_similar_ids_have_folders_of_their_own(tmp_path: Path) -> None:
    names = dict.fromkeys(["https://ce/jobs/aaaaaaaaaaaa1", "https://ce/jobs/aaaaaaaaaaaa2"], "m")
    assert [path.name for path in folders_of(names, tmp_path).values()] == ["m-aaaaaaaaaaaa1", "m-aaaaaaaaaaaa2"]


@given(st.dictionaries(st.text("ab/c1", min_size=1, max_size=20).map("https://h/".__add__), st.text(max_size=30)))
def test_each_job_has_a_folder_of_its_own_right_there(names: dict[str, str]) -> None:
    root = Path("/results")
    folders = folders_of(names, root)
    distinct = {job_id.rstrip("/").rpartition("/")[2] for job_id in names}
    assert all(path.parent == root and path.name not in ("", ".", "..") for path in folders.values())
    assert len(set(folders.values())) >= len(distinct)


def test_new_files_have_the_users_usual_mode(tmp_path: Path) -> None:
    save({"x": b""}, tmp_path, "x")
    (tmp_path / "usual").touch()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


# --- What is there already ---


def test_files_that_are_there_are_refused_before_anything_is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"mine")
    backend = MemoryBackend({"x": b"theirs", "stdout": b""})
    with pytest.raises(OutputError, match=r"x: it is there already.*overwrite"):
        save_outputs(backend, "job", tmp_path, outputs=["x"])
    assert backend.opened == []
    assert tree(tmp_path) == {"x": b"mine"}


def test_overwrite_replaces_files_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output/a.txt").write_bytes(b"old")
    (tmp_path / "output/kept").write_bytes(b"kept")
    save(TREE, tmp_path, "output/a.txt", overwrite=True)
    assert tree(tmp_path)["output/a.txt"] == b"a"
    assert tree(tmp_path)["output/kept"] == b"kept"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def opens() -> io.BytesIO:
        (tmp_path / "x").write_bytes(b"mine")
        return io.BytesIO(b"theirs")

    with pytest.raises(OutputError, match="there already"):
        save({"x": opens}, tmp_path, "x")
    assert tree(tmp_path) == {"x": b"mine"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_symbolic_link_in_the_target_is_followed(tmp_path: Path, overwrite: bool) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (target / "output").symlink_to(outside)
    with pytest.raises(OutputError, match="symbolic link"):
        save(TREE, target, "output", overwrite=overwrite)
    assert tree(outside) == {}


def test_a_link_in_a_files_place_is_replaced_not_followed(tmp_path: Path) -> None:
    target, victim = tmp_path / "target", tmp_path / "victim"
    target.mkdir()
    victim.write_bytes(b"precious")
    for name in ("x", "dangling"):
        (target / name).symlink_to(victim if name == "x" else tmp_path / "nothing")
    with pytest.raises(OutputError, match="there already"):
        save({"dangling": b"new"}, target, "dangling")
    save({"x": b"new", "dangling": b"new"}, target, "*", overwrite=True)
    assert victim.read_bytes() == b"precious"
    assert tree(target) == {"x": b"new", "dangling": b"new"}
    assert not (tmp_path / "nothing").exists()


def test_a_folder_in_a_files_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OutputError, match="x: a folder"):
        save({"x": b""}, tmp_path, "x", overwrite=True)


def test_a_file_in_a_folders_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "output").touch()
    with pytest.raises(OutputError, match="where a folder is needed"):
        save(TREE, tmp_path, "output", overwrite=True)


# --- Hostile servers ---

HOSTILE = [
    "../x",
    "/etc/passwd",
    "..",
    ".",
    "",
    "d/../../x",
    "d/..",
    "a/x",
    "x/y",
    "d//x",
    "d/a\0b",
    "d/a\nb",
    "d/\x7f",
    "d/\x85",
    "d/" + "x" * 256,
    "d/" + "ä" * 128,
    "d/\ud800",
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("is_dir", [False, True])
@pytest.mark.parametrize("deeper", [[], [RemoteFile("d/sub", is_dir=True), RemoteFile("d/sub/x", 1)]])
def test_hostile_names_in_a_folder_are_refused(
    tmp_path: Path, name: str, is_dir: bool, deeper: list[RemoteFile]
) -> None:
    backend = MemoryBackend(
        {name: b"evil", "d/good": b""},
        listings={
            "": [RemoteFile("d", is_dir=True)],
            "d": [RemoteFile("d/good", 0), RemoteFile(name, 4, is_dir=is_dir), *deeper],
        },
    )
    with pytest.raises(OutputError, match="cannot be saved"):
        save_outputs(backend, "job", tmp_path / "target", outputs=["d"])
    assert backend.opened == []
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", "a\nb", "x/y"])
def test_hostile_names_at_the_top_are_refused_where_a_pattern_could_mean_them(tmp_path: Path, name: str) -> None:
    backend = MemoryBackend({name: b"evil", "good": b"g"}, listings={"": [RemoteFile(name, 4), RemoteFile("good", 1)]})
    with pytest.raises(OutputError, match="cannot be saved"):
        save_outputs(backend, "job", tmp_path / "target", outputs=["*"])
    assert save_outputs(backend, "job", tmp_path / "target", outputs=["good"]) == [tmp_path / "target" / "good"]
    assert backend.opened == ["good"]


@pytest.mark.parametrize(
    "listing",
    [
        [RemoteFile("d/file", 1), RemoteFile("d/file/x", 1)],
        [RemoteFile("d/not told/x", 1)],
        [RemoteFile("d/sub", is_dir=True), RemoteFile("d/sub/../../x", 1)],
        [RemoteFile("d/sub", is_dir=True), RemoteFile("d/sub/x", 1), RemoteFile("d/sub/x", 1)],
        [RemoteFile("d/sub", is_dir=True), RemoteFile("d/sub/x", 1), RemoteFile("d/sub", is_dir=True)],
    ],
)
def test_a_listing_of_a_tree_that_is_none_is_refused(tmp_path: Path, listing: list[RemoteFile]) -> None:
    backend = MemoryBackend({}, listings={"": [RemoteFile("d", is_dir=True)], "d": listing})
    with pytest.raises(OutputError, match="cannot be saved"):
        save_outputs(backend, "job", tmp_path / "target", outputs=["d"])
    assert tree(tmp_path) == {}


def test_names_that_only_look_odd_are_saved(tmp_path: Path) -> None:
    files = {
        f"d/{name}": name.encode() for name in ("a\\b", "-rf", "~", "$HOME", "a b", "..a", "...", "Grüße", "\u202e")
    }
    save(files, tmp_path, "d")
    assert tree(tmp_path) == files


@pytest.mark.parametrize("second", [RemoteFile("x", 1), RemoteFile("x", is_dir=True)])
def test_two_things_of_one_name_are_refused(tmp_path: Path, second: RemoteFile) -> None:
    backend = MemoryBackend({"x": b"1", "x/y": b"2"}, listings={"": [RemoteFile("x", 1), second]})
    with pytest.raises(OutputError, match=r"'x'.*two of it"):
        save_outputs(backend, "job", tmp_path, outputs=["x"])


def test_an_endless_tree_ends(tmp_path: Path) -> None:
    class Endless(MemoryBackend):
        def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
            depths = range(1, 2 * MAX_DEPTH if recursive else 2)
            return [RemoteFile("/".join(filter(None, [path, *["d"] * depth])), is_dir=True) for depth in depths]

    with pytest.raises(OutputError, match="nested"):
        save_outputs(Endless({}), "job", tmp_path, outputs=["d"])


def test_a_listing_without_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.staging.session_tree.MAX_FILES", 10)
    backend = MemoryBackend({f"d/{number}": b"" for number in range(20)})
    with pytest.raises(OutputError, match="job job has more than 10 files"):
        list(SessionTree(backend, "job").choose("d"))


NAMES = st.text(st.characters(), max_size=8) | st.sampled_from(["..", ".", "../x", "/x", "d/../..", "d/x", "d/d", "d"])


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=5), st.lists(st.tuples(NAMES, st.booleans()), max_size=4))
def test_whatever_the_names_nothing_leaves_the_target(
    tmp_path_factory: pytest.TempPathFactory, top: list[tuple[str, bool]], inside: list[tuple[str, bool]]
) -> None:
    class Hostile(MemoryBackend):
        def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
            prefix = f"{path}/" if path else ""
            entries = inside if path else top
            found = [RemoteFile(prefix + name, None, is_dir) for name, is_dir in entries]
            for folder in [entry.name for entry in found if entry.is_dir] if recursive else []:
                found += [RemoteFile(f"{folder}/{name}", None, is_dir) for name, is_dir in inside]
            return found

        def open(self, job_id: str, path: str, offset: int = 0) -> io.BytesIO:  # type: ignore[override]
            return io.BytesIO(os.fsencode(path))

    sandbox = tmp_path_factory.mktemp("sandbox")
    target = sandbox / "in" / "here" / "target"
    target.mkdir(parents=True)
    try:
        saved = save_outputs(Hostile({}), "job", target, outputs=["*", "d"])
    except OutputError:
        saved = []
    else:
        for path in saved:
            assert (
                path.is_dir()
                or path.name in ("stdout.txt", "stderr.txt")
                or (path.read_bytes() == os.fsencode(path.relative_to(target)))
            )
    assert all(target in path.parents for path in saved)
    assert all(name.startswith("in/here/target") for name in tree(sandbox))
    assert not [name for name in tree(sandbox) if name.endswith(".part")]


# --- Transfers that go wrong ---


@pytest.mark.parametrize(("size", "arrived"), [(10, "9"), (8, "more"), (0, "more"), (-1, "more")])
def test_a_size_that_is_not_the_listings_is_an_error(tmp_path: Path, size: int, arrived: str) -> None:
    backend = MemoryBackend({"x": b"123456789"}, listings={"": [RemoteFile("x", size)]})
    with pytest.raises(OutputError, match=f"'x' of job job has {size} bytes by its listing, but {arrived} arrived"):
        save_outputs(backend, "job", tmp_path, outputs=["x"])
    assert tree(tmp_path) == {}


def test_an_endless_body_ends_with_the_size_of_the_listing(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def read(self, size: int = -1) -> bytes:
            self.taken += size
            return b"x" * size

    stream = Endless()
    backend = MemoryBackend({"x": lambda: stream}, listings={"": [RemoteFile("x", 3_000_000)]})
    with pytest.raises(OutputError, match="more arrived"):
        save_outputs(backend, "job", tmp_path, outputs=["x"])
    assert stream.taken < 5_000_000
    assert stream.closed
    assert tree(tmp_path) == {}


class Failing(io.RawIOBase):
    def __init__(self) -> None:
        self._pieces = [b"first piece"]

    def read(self, size: int = -1) -> bytes:
        if self._pieces:
            return self._pieces.pop()
        raise ServerUnavailableError("connection lost")


@pytest.mark.parametrize("content", [Failing, ServerUnavailableError("connection lost"), JobNotFoundError("gone")])
def test_a_failed_download_leaves_nothing_and_names_the_file(tmp_path: Path, content: object) -> None:
    with pytest.raises(OutputError, match=r"could not download 'x' of job job: (connection lost|gone)") as caught:
        save({"x": content}, tmp_path, "x")
    assert isinstance(caught.value.__cause__, (ServerUnavailableError, JobNotFoundError))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "quota"), (errno.EIO, "Input/output error")]
)
def test_disk_errors_are_told_in_plain_words(tmp_path: Path, number: int, words: str) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"some"
        raise OSError(number, os.strerror(number))

    with pytest.raises(OutputError, match=f"cannot save .*x: .*{words}"):
        TargetFolder(tmp_path, overwrite=False).write(("x",), blocks())
    assert tree(tmp_path) == {}


def test_a_real_write_error_leaves_nothing(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from jasmin_arc.staging.outputs import save_many
        from memory_backend import MemoryBackend
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        print(save_many(MemoryBackend({"x": bytes(200_000)}), {"job": Path(sys.argv[1])}, outputs=lambda _: ["x"]))
    """
    assert "too large" in run_script(script, tmp_path)
    assert tree(tmp_path) == {}


def test_an_error_of_the_callers_own_reaches_the_caller(tmp_path: Path) -> None:
    def progress(_: int) -> None:
        raise RuntimeError("my own")

    with pytest.raises(RuntimeError, match="my own"):
        save_outputs(MemoryBackend({"x": b"x"}), "job", tmp_path, outputs=["x"], progress=progress)
    assert tree(tmp_path) == {}


def test_case_is_kept_apart_where_the_file_system_does(tmp_path: Path) -> None:
    save({"d/A": b"1", "d/a": b"2"}, tmp_path, "d")
    assert tree(tmp_path) == {"d/A": b"1", "d/a": b"2"}


def test_two_outputs_that_are_one_file_here_are_refused(tmp_path: Path) -> None:
    # As on a file system that takes "A" for "a".
    folder = TargetFolder(tmp_path, overwrite=True)
    folder.write(("a",), [b"1"])
    with pytest.raises(OutputError, match="two outputs"):
        folder.write(("a",), [b"2"])
    assert tree(tmp_path) == {"a": b"1"}


# --- Interruptions ---


class Blocked(io.RawIOBase):
    """Gives a first piece, then nothing until it is released."""

    def __init__(self) -> None:
        self.reached, self.released = threading.Event(), threading.Event()
        self._pieces = [b"end", b"first"]

    def read(self, size: int = -1) -> bytes:
        if len(self._pieces) == 1:
            self.reached.set()
            self.released.wait(60)
        return self._pieces.pop() if self._pieces else b""


def test_ctrl_c_returns_at_once_and_nothing_appears_later(tmp_path: Path) -> None:
    stream = Blocked()

    def interrupt() -> None:
        stream.reached.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        save({"x": lambda: stream, "y": b"small", "stdout": b""}, tmp_path, "x", "y")
    assert time.monotonic() - start < 2
    assert set(tree(tmp_path)) <= {"y", "stdout.txt"}
    stream.released.set()
    for thread in threading.enumerate():
        if thread.name == "jasmin_arc worker":
            thread.join()
    assert set(tree(tmp_path)) <= {"y", "stdout.txt"}


def test_downloads_that_are_given_up_are_not_read_on(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        begun = threading.Event()

        def read(self, size: int = -1) -> bytes:
            self.begun.set()
            return b"x" * 1000

    def interrupt() -> None:
        Endless.begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        save({"x": Endless, "stdout": b""}, tmp_path, "x")
    for thread in threading.enumerate():
        if thread.name == "jasmin_arc worker":
            thread.join(20)
            assert not thread.is_alive()


BLOCKED = """
    import sys, threading
    from pathlib import Path
    from jasmin_arc.staging.outputs import save_many
    from memory_backend import MemoryBackend
    class Blocked:
        sent = False
        def read(self, size):
            if self.sent:
                print("blocked", flush=True)
                threading.Event().wait()
            self.sent = True
            return b"first"
        def close(self):
            pass
    save_many(MemoryBackend({"x": Blocked}), {"job": Path(sys.argv[1])}, outputs=lambda _: ["x"])
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_download_leaves_nothing_under_its_final_name(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(command(BLOCKED, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        # Threads that are still blocked do not keep the interpreter from ending.
        assert process.wait(timeout=10) == -number
    left = list(tree(tmp_path))
    assert left == [] if number == signal.SIGINT else all(name.endswith(".part") for name in left)


def command(script: str, *arguments: object) -> list[str]:
    preamble = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    return [sys.executable, "-c", preamble + textwrap.dedent(script), *map(str, arguments)]


def run_script(script: str, *arguments: object) -> str:
    return subprocess.run(command(script, *arguments), capture_output=True, text=True, check=True).stdout
