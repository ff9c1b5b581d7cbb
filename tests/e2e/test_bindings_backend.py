"""The bindings backend on the real grid: real bindings, a real compute element, a real batch system."""

from __future__ import annotations

import hashlib
import io
import json
import random
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jasmin_arc.backends.bindings import BindingsBackend
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import LogLevels
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import (
    InputFileError,
    InvalidJobDescription,
    JasminArcError,
    JobNotFoundError,
    JobSubmissionError,
    NoTargetsAvailableError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList
from jasmin_arc.logs import make_logger
from jasmin_arc.proxy import ProxyManager

pytestmark = pytest.mark.grid

HOSTILE = [
    "it's",
    '"',
    "$HOME $i `id` $(id)",
    "\\n\\",
    "line\nline",
    "<&>;|*?",
    "\x01\x1b\x7f",
    "é日🌍",
    "",
    " ",
    "-n",
    "x" * 9000,
]
MakeBackend = Callable[..., BindingsBackend]


@pytest.fixture(scope="module")
def make_backend(grid_config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeBackend]:
    folder = tmp_path_factory.mktemp("bindings")
    made: list[tuple[BindingsBackend, JobList]] = []

    def make(
        *, stream: io.StringIO | None = None, level: LogLevels = LogLevels.INFO, **options: Any
    ) -> BindingsBackend:
        own = {"PROXY_FILE": str(folder / "proxy.pem"), "JOBS_INFO_FILE": str(folder / "jobs.dat")}
        config = ConnectionConfig({**grid_config, **own, **options})
        log, job_list = make_logger(stream, level), JobList(config.JOBS_INFO_FILE)
        backend = BindingsBackend(config, ProxyManager(config, log), job_list, log)
        made.append((backend, job_list))
        return backend

    yield make
    for backend, job_list in made:
        if made[0][0].endpoint == backend.endpoint:
            backend.clean(job_list.ids(backend.endpoint))
        backend.close()


@pytest.fixture(scope="module")
def backend(make_backend: MakeBackend) -> BindingsBackend:
    return make_backend()


def submitted(backend: BindingsBackend, *jobs: JobDescription) -> list[str]:
    results = backend.submit(jobs)
    assert all(isinstance(result, str) for result in results), results
    return [str(result) for result in results]


def ended(backend: BindingsBackend, job_ids: Sequence[str], *, within: float = 90) -> dict[str, JobInfo]:
    return until(backend, job_ids, lambda info: info.final, within=within)


def until(
    backend: BindingsBackend, job_ids: Sequence[str], reached: Callable[[JobInfo], bool], *, within: float = 90
) -> dict[str, JobInfo]:
    deadline = time.monotonic() + within
    while True:
        infos = backend.query(job_ids)
        if all(reached(infos[job_id]) for job_id in job_ids):
            return infos
        assert time.monotonic() < deadline, infos
        time.sleep(0.5)


def shell(script: str, **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": [], **options})


def content(backend: BindingsBackend, job_id: str, path: str, offset: int = 0) -> bytes:
    with backend.open(job_id, path, offset) as file:
        return file.read()


def test_one_job_of_each_kind(backend: BindingsBackend, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\ncat data/in; echo $VARIABLE >&2\n")
    jobs = {
        "hello": JobDescription(executable="echo", arguments=["hello"], outputs=[]),
        "hostile": JobDescription(executable="printf", arguments=["%s\\0", *HOSTILE], outputs=[]),
        "exit 3": shell("echo before; exit 3", name="three"),
        "missing": JobDescription(executable="/no/such/program", outputs=[]),
        "folder": shell("mkdir -p out/sub; echo 1 > out/a; echo 22 > 'out/sub/b c'", outputs=["out"], queue="long"),
        "inputs": JobDescription(
            executable="tool",
            inputs={"tool": tmp_path / "tool", "data/in": b"content\0\n"},
            environment={"VARIABLE": "a\nb$HOME"},
            outputs=[],
        ),
        "patterns": shell("touch x1.nc x2.nc y.txt", outputs=["*.nc"]),
    }
    job_id = dict(zip(jobs, submitted(backend, *jobs.values())))
    infos = ended(backend, list(job_id.values()))

    assert content(backend, job_id["hello"], "stdout") == b"hello\n"
    assert content(backend, job_id["hostile"], "stdout").decode().split("\0")[:-1] == HOSTILE
    three = infos[job_id["exit 3"]]
    assert (three.state, three.exit_code, three.name) == ("Failed", 3, "three")
    assert three.errors and three.submitted and three.ended and three.nodes and three.session_expires
    assert infos[job_id["missing"]].state == "Failed"
    assert b"not found" in content(backend, job_id["missing"], "stderr")
    assert infos[job_id["folder"]].queue == "long"
    assert {(file.name, file.is_dir) for file in backend.list_files(job_id["folder"])} >= {("out", True)}
    assert {(file.name, file.size) for file in backend.list_files(job_id["folder"], "out")} == {
        ("out/a", 2),
        ("out/sub", None),
    }
    assert content(backend, job_id["folder"], "out/sub/b c") == b"22\n"
    assert infos[job_id["inputs"]].exit_code == 0
    assert content(backend, job_id["inputs"], "stdout") == b"content\0\n"
    assert content(backend, job_id["inputs"], "stderr") == b"a b$HOME\n"
    names = {file.name for file in backend.list_files(job_id["patterns"])}
    assert {"x1.nc", "x2.nc"} <= names and "y.txt" not in names
    assert "exit" in backend.evidence(job_id["exit 3"])["errors"].lower()
    assert set(job_id.values()) <= set(backend.list_jobs())
    assert backend.states(list(job_id.values()))[job_id["hello"]] == "Finished"


def test_files_that_are_not_there(backend: BindingsBackend) -> None:
    (job_id,) = submitted(backend, shell("mkdir out; echo 12345678", outputs=["out"]))
    ended(backend, [job_id])
    unknown = job_id[:-6] + "zzzzzz"
    for path in ("nothing", "out", "../stdout", "stdout/x"):
        with pytest.raises(JobNotFoundError):
            backend.open(job_id, path)
    for path in ("nothing", "stdout", "out/.."):
        with pytest.raises(JobNotFoundError):
            backend.list_files(job_id, path)
    with pytest.raises(JobNotFoundError):
        backend.list_files(unknown)
    with pytest.raises(JobNotFoundError):
        backend.open(unknown, "stdout")
    with pytest.raises(JobNotFoundError):
        backend.evidence(unknown)
    assert backend.list_files(job_id, "out") == []
    assert content(backend, job_id, "stdout", offset=4) == b"5678\n"


def test_a_big_file_travels_whole(backend: BindingsBackend, tmp_path: Path) -> None:
    source = tmp_path / "big file;x=1%41 é"
    source.write_bytes(random.Random(1).randbytes(50_000_000))
    (job_id,) = submitted(backend, shell("cp in out", inputs={"in": source}, outputs=["out"]))
    ended(backend, [job_id])
    assert hashlib.sha256(content(backend, job_id, "out")).digest() == hashlib.sha256(source.read_bytes()).digest()


def test_cancelling_and_erasing(backend: BindingsBackend) -> None:
    running, finished = submitted(backend, shell("echo started; sleep 600"), shell("true"))
    until(backend, [running], lambda info: info.state == "Running")
    ended(backend, [finished])
    assert content(backend, running, "stdout") == b"started\n"
    unknown = running[:-6] + "zzzzzz"

    failures = backend.cancel([running, finished, unknown, "not an id"])

    assert {job_id: type(error) for job_id, error in failures.items()} == {
        unknown: JobNotFoundError,
        "not an id": JobNotFoundError,
    }
    assert ended(backend, [running])[running].state in ("Killed", "Failed")
    assert backend.query([unknown, "not an id"]) == {}
    assert backend.clean([running, finished, unknown]) == {}
    deadline = time.monotonic() + 60
    while backend.query([running, finished]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert backend.clean([running]) == {}


def test_the_reason_of_a_rejection_is_told(backend: BindingsBackend) -> None:
    wrong, right = backend.submit([shell("true", queue="nowhere"), shell("true")])
    assert isinstance(wrong, JobSubmissionError)
    assert "nowhere" in str(wrong) and "not allowed" in str(wrong) and "short" in str(wrong)
    assert isinstance(right, str)


def test_a_job_whose_upload_fails_is_removed(backend: BindingsBackend) -> None:
    too_long = "x" * 300
    (error,) = backend.submit([shell("true", inputs={"fine": b"1", too_long: b"2"})])
    assert isinstance(error, JobSubmissionError)
    assert too_long in str(error) and "has been cancelled and removed" in str(error)
    orphan = str(error).partition("had been created (")[2].partition(")")[0]
    deadline = time.monotonic() + 60
    while orphan in backend.list_jobs():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_an_input_that_is_missing_stops_its_job_alone(backend: BindingsBackend, tmp_path: Path) -> None:
    missing, fine = backend.submit([shell("true", inputs=[tmp_path / "missing"]), shell("true")])
    assert isinstance(missing, InputFileError)
    assert isinstance(fine, str)


def test_a_server_that_is_out_of_reach(make_backend: MakeBackend, backend: BindingsBackend) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        nobody = make_backend(
            ARC_SERVER=f"{backend.endpoint.split('/')[2].split(':')[0]}:{reserved.getsockname()[1]}/arex"
        )
        job_id = f"{nobody.endpoint}/rest/1.0/jobs/abc"
        with pytest.raises(NoTargetsAvailableError, match=nobody.endpoint):
            nobody.submit([shell("true")])
        with pytest.raises(NoTargetsAvailableError, match="Failed to connect"):
            nobody.site()
        for ask in (
            lambda: nobody.query([job_id]),
            lambda: nobody.states([job_id]),
            lambda: nobody.cancel([job_id]),
            lambda: nobody.clean([job_id]),
            lambda: nobody.list_files(job_id),
            lambda: nobody.open(job_id, "stdout"),
            lambda: nobody.evidence(job_id),
            nobody.list_jobs,
        ):
            with pytest.raises(ServerUnavailableError):
                ask()


def test_a_server_that_offers_nothing(make_backend: MakeBackend, backend: BindingsBackend) -> None:
    elsewhere = make_backend(ARC_SERVER=backend.endpoint.replace("/arex", "/elsewhere"))
    with pytest.raises(NoTargetsAvailableError, match="/elsewhere"):
        elsewhere.submit([shell("true")])


class Cutter:
    """A TCP relay that lets the answers on one of the connections get lost once the client has sent its request."""

    def __init__(self, host: str, port: int, cut: int) -> None:
        self._target, self._cut = (host, port), cut
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._server]
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        for number in range(1, 100):
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self._sockets += [client, server]
            cut = number == self._cut
            threading.Thread(target=self._requests, args=(client, server, cut), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, server, cut), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, cut: bool) -> None:
        try:
            while data := client.recv(65536):
                server.sendall(data)
        except OSError:
            pass
        if not cut:
            _end(server)

    def _answers(self, client: socket.socket, server: socket.socket, cut: bool) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
                if cut:
                    # The server's part of the handshake is through; what follows is lost.
                    server.settimeout(2)
                    while server.recv(65536):
                        pass
        except OSError:
            pass
        _end(client)

    def close(self) -> None:
        for each in self._sockets:
            _end(each)
            each.close()


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def test_an_answer_that_is_lost_is_unknown(make_backend: MakeBackend, backend: BindingsBackend, tmp_path: Path) -> None:
    host, port = backend.endpoint.split("/")[2].split(":")
    before = set(backend.list_jobs())
    # Discovery, delegation, submission.
    relay = Cutter(host, int(port), cut=3)
    behind = make_backend(ARC_SERVER=f"{host}:{relay.port}/arex", JOBS_INFO_FILE=str(tmp_path / "jobs.dat"))
    (error,) = behind.submit([shell("true", name="unknown-outcome")])
    relay.close()

    assert isinstance(error, SubmissionUnknownError), error
    job_list = JobList(tmp_path / "jobs.dat")
    (intention,) = job_list.unfinished(behind.endpoint)
    assert intention.name == "unknown-outcome" and intention.abandoned
    created = [
        job_id
        for job_id in set(backend.list_jobs()) - before
        if intention.token in backend.evidence(job_id).get("description", "")
    ]
    assert len(created) == 1
    assert backend.cancel(created) == backend.clean(created) == {}


def test_the_library_of_one_process_serves_many_threads(backend: BindingsBackend) -> None:
    (job_id,) = submitted(
        backend, shell("mkdir out; for i in 1 2 3 4 5 6 7 8; do echo $i > out/$i; done", outputs=["out"])
    )
    ended(backend, [job_id])

    def work(number: int) -> bytes:
        assert backend.query([job_id])[job_id].state == "Finished"
        return content(backend, job_id, f"out/{number % 8 + 1}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [b"%d\n" % (number % 8 + 1) for number in range(40)]


def test_the_users_log_has_what_the_library_says(make_backend: MakeBackend) -> None:
    stream = io.StringIO()
    backend = make_backend(stream=stream, level=LogLevels.DEBUG)
    submitted(backend, shell("true", name="%n%s"))
    log = stream.getvalue()
    assert "Arc.DataMover" in log and "[VERBOSE]" in log
    assert "PRIVATE KEY" not in log

    quiet = io.StringIO()
    submitted(make_backend(stream=quiet, level=LogLevels.ERROR), shell("true"))
    assert quiet.getvalue() == ""


def test_the_librarys_own_objects(backend: BindingsBackend) -> None:
    (job_id,) = submitted(backend, shell("true", name="mine"))
    assert backend.arc_job(job_id).JobID == job_id
    with pytest.raises(JobNotFoundError):
        backend.arc_job(job_id[:-6] + "zzzzzz")
    assert backend.user_config() is backend.user_config()
    assert backend.user_config().ProxyPath() == backend.create_user_config().ProxyPath()
    xrsl = backend.parse_descriptions('&(executable="/bin/echo")(arguments="a b" "%n")(jobname="x")')
    assert [job.Identification.JobName for job in xrsl] == ["x"]
    assert list(xrsl[0].Application.Executable.Argument) == ["a b", "%n"]
    jsdl = backend.parse_descriptions(
        '<JobDefinition xmlns="http://schemas.ggf.org/jsdl/2005/11/jsdl"><JobDescription><Application>'
        '<POSIXApplication xmlns="http://schemas.ggf.org/jsdl/2005/11/jsdl-posix"><Executable>/bin/echo</Executable>'
        "<Argument>one</Argument></POSIXApplication></Application></JobDescription></JobDefinition>"
    )
    assert jsdl[0].Application.Executable.Path == "/bin/echo"
    for nonsense in ("", "nonsense %n%s", "&(executable=", "<a/>", "\0"):
        with pytest.raises(InvalidJobDescription):
            backend.parse_descriptions(nonsense)


def test_the_site(backend: BindingsBackend) -> None:
    site = backend.site()
    assert {"short", "long"} <= {queue.name for queue in site.queues}
    assert site.endpoint == backend.endpoint
    assert "org.nordugrid.arcrest" in site.interfaces


CHILD = """
    import atexit, ctypes, json, sys
    from jasmin_arc.backends.bindings import BindingsBackend
    from jasmin_arc.config import ConnectionConfig
    from jasmin_arc.job_list import JobList
    from jasmin_arc.logs import make_logger
    from jasmin_arc.constants import LogLevels
    from jasmin_arc.proxy import ProxyManager

    config = ConnectionConfig(json.loads(sys.argv[1]))
    log = make_logger(None, LogLevels.INFO)
    backend = BindingsBackend(config, ProxyManager(config, log), JobList(config.JOBS_INFO_FILE), log)
    atexit.register(lambda: print("atexit"))
    print(sorted(backend.query(sys.argv[2:]).values(), key=lambda info: info.id)[0].exit_code)
    ctypes.CDLL(None).printf(b"from C\\n")
    sys.stdout.write("unfinished line ")
    sys.exit(7)
"""


def test_another_process_asks_and_ends_normally(
    grid_config: dict[str, Any], backend: BindingsBackend, tmp_path: Path
) -> None:
    (job_id,) = submitted(backend, shell("exit 5"))
    ended(backend, [job_id])
    config = {
        **grid_config,
        "PROXY_FILE": str(backend.user_config().ProxyPath()),
        "JOBS_INFO_FILE": str(tmp_path / "jobs.dat"),
    }
    command = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps(config), job_id]
    # Without the cure, the process never ends.
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode == 7
    assert done.stdout.startswith("from C\n5\n") or done.stdout.startswith("5\n")
    assert "unfinished line atexit" in done.stdout and "from C" in done.stdout


def test_jobs_are_listed_for_arcs_own_tools(
    grid_config: dict[str, Any], backend: BindingsBackend, tmp_path: Path
) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    config = ConnectionConfig(
        {**grid_config, "PROXY_FILE": str(backend.user_config().ProxyPath()), "JOBS_INFO_FILE": str(job_list.path)}
    )
    log = make_logger(None, LogLevels.INFO)
    own = BindingsBackend(config, ProxyManager(config, log), job_list, log)
    (job_id,) = submitted(own, shell("true", name="for arcstat"))
    assert job_list.ids(own.endpoint) == [job_id]
    assert own.query([job_id])[job_id].name == "for arcstat"
    environment = {
        "X509_USER_PROXY": config.PROXY_FILE,
        "X509_CERT_DIR": config.CERTS_DIR,
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
    }
    shown = subprocess.run(
        ["arcstat", "-j", str(job_list.path), "-a"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert job_id in shown.stdout, shown.stderr
    failures: dict[str, JasminArcError] = own.clean([job_id])
    assert failures == {}
