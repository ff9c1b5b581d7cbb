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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pytest_mock import MockerFixture

from jasmin_arc._support.logs import make_logger
from jasmin_arc.backends.base import Services
from jasmin_arc.backends.bindings import BindingsBackend
from jasmin_arc.backends.rest import submission
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import LogLevels
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import (
    InputFileError,
    InvalidJobDescription,
    JasminArcError,
    JobNotFoundError,
    JobSubmissionError,
    NoTargetsAvailableError,
    OutputError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList

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
BIG = random.Random(1).randbytes(50_000_000)
LIMIT = 120
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
        backend = BindingsBackend(config, Services(job_list, lambda: ProxyManager(config, log), log))
        made.append((backend, job_list))
        return backend

    yield make
    for backend, job_list in made:
        if made[0][0].endpoint == backend.endpoint:
            backend.cancel(job_list.ids(backend.endpoint))
            backend.clean(job_list.ids(backend.endpoint))
        backend.close()


@pytest.fixture(scope="module")
def backend(make_backend: MakeBackend) -> BindingsBackend:
    return make_backend()


def submitted(backend: BindingsBackend, *jobs: JobDescription) -> list[str]:
    results = backend.submit(jobs)
    assert all(isinstance(result, str) for result in results), results
    return [str(result) for result in results]


def ended(backend: BindingsBackend, job_id: str) -> JobInfo:
    return until(backend, job_id, lambda info: info.final)


def until(backend: BindingsBackend, job_id: str, reached: Callable[[JobInfo], bool]) -> JobInfo:
    deadline = time.monotonic() + LIMIT
    while not reached(info := backend.query([job_id])[job_id]):
        assert time.monotonic() < deadline, info
        time.sleep(0.2)
    return info


def until_gone(backend: BindingsBackend, *job_ids: str) -> None:
    deadline = time.monotonic() + LIMIT
    while left := set(job_ids) & set(backend.list_jobs()):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def shell(script: str, **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": [], **options})


def content(backend: BindingsBackend, job_id: str, path: str, offset: int = 0) -> bytes:
    with backend.open(job_id, path, offset) as file:
        return file.read()


@pytest.fixture(scope="module")
def jobs(backend: BindingsBackend, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ids of jobs that run at the same time: some submitted by the library, one by one, and the others together."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "tool").write_text("#!/bin/sh\ncat data/in; echo $VARIABLE >&2\n")
    big = folder / "big file;x=1%41 é"
    big.write_bytes(BIG)
    by_the_library = {
        "hostile": JobDescription(executable="printf", arguments=["%s\\0", *HOSTILE], outputs=[]),
        "inputs": JobDescription(
            executable="tool",
            inputs={"tool": folder / "tool", "data/in": b"content\0\n"},
            environment={"VARIABLE": "a\nb$HOME"},
            outputs=[],
        ),
        "big": shell("cp in out", inputs={"in": big}, outputs=["out"]),
        "folder": shell("mkdir -p out/sub; echo 1 > out/a; echo 22 > 'out/sub/b c'", outputs=["out"], queue="long"),
    }
    together = {
        "running": shell("echo started; sleep 600"),
        "exit 3": shell("echo before; exit 3", name="three"),
        "missing": JobDescription(executable="/no/such/program", outputs=[]),
        "patterns": shell("touch x1.nc x2.nc y.txt", outputs=["*.nc"]),
        "names": shell("mkdir out; touch 'out/a?b;c=1%41'", outputs=["out"]),
        "many": shell("mkdir out; for i in 1 2 3 4 5 6 7 8; do echo $i > out/$i; done", outputs=["out"]),
        "erased": shell("true"),
        "erased together": shell("true"),
    }
    one_by_one = [job_id for job in by_the_library.values() for job_id in submitted(backend, job)]
    return dict(zip([*by_the_library, *together], [*one_by_one, *submitted(backend, *together.values())]))


def test_arguments_inputs_and_environment_arrive(backend: BindingsBackend, jobs: dict[str, str]) -> None:
    ended(backend, jobs["hostile"])
    assert content(backend, jobs["hostile"], "stdout").decode().split("\0")[:-1] == HOSTILE
    assert ended(backend, jobs["inputs"]).exit_code == 0
    assert content(backend, jobs["inputs"], "stdout") == b"content\0\n"
    assert content(backend, jobs["inputs"], "stderr") == b"a b$HOME\n"
    ended(backend, jobs["big"])
    assert hashlib.sha256(content(backend, jobs["big"], "out")).digest() == hashlib.sha256(BIG).digest()


def test_what_is_known_of_jobs_that_ended(backend: BindingsBackend, jobs: dict[str, str]) -> None:
    # The compute element writes this down later than the end, which REST saw.
    three = until(backend, jobs["exit 3"], lambda info: info.final and bool(info.name))
    assert (three.state, three.exit_code, three.name) == ("Failed", 3, "three")
    assert three.errors and three.submitted and three.ended and three.nodes
    until(backend, jobs["exit 3"], lambda info: info.session_expires is not None)
    assert "exit" in backend.evidence(jobs["exit 3"])["errors"].lower()
    assert backend.description(jobs["exit 3"]).name == "three"
    assert ended(backend, jobs["missing"]).state == "Failed"
    assert b"not found" in content(backend, jobs["missing"], "stderr")
    folder = ended(backend, jobs["folder"])
    assert (folder.state, folder.queue) == ("Finished", "long")
    deadline = time.monotonic() + LIMIT
    while missing := set(jobs.values()) - set(backend.list_jobs()):
        # The list leaves a job out for the moment in which it moves on.
        assert time.monotonic() < deadline, missing
        time.sleep(0.2)
    assert backend.states([jobs["folder"]]) == {jobs["folder"]: "Finished"}


def test_the_files_of_jobs(backend: BindingsBackend, jobs: dict[str, str]) -> None:
    ended(backend, jobs["folder"])
    assert {(file.name, file.is_dir) for file in backend.list_files(jobs["folder"])} >= {("out", True)}
    assert {(file.name, file.size) for file in backend.list_files(jobs["folder"], "out")} == {
        ("out/a", 2),
        ("out/sub", None),
    }
    assert content(backend, jobs["folder"], "out/sub/b c") == b"22\n"
    assert content(backend, jobs["folder"], "out/sub/b c", offset=1) == b"2\n"
    ended(backend, jobs["patterns"])
    names = {file.name for file in backend.list_files(jobs["patterns"])}
    assert {"x1.nc", "x2.nc"} <= names and "y.txt" not in names
    ended(backend, jobs["names"])
    (file,) = backend.list_files(jobs["names"], "out")
    assert file.name == "out/a?b;c=1%41"
    assert content(backend, jobs["names"], file.name) == b""


def test_what_is_not_there(backend: BindingsBackend, jobs: dict[str, str]) -> None:
    unknown = jobs["folder"][:-6] + "zzzzzz"
    ended(backend, jobs["folder"])
    for path in ("nothing", "out"):
        with pytest.raises(JobNotFoundError):
            backend.open(jobs["folder"], path)
    with pytest.raises(OutputError):
        backend.open(jobs["folder"], "../stdout")
    for ask in (
        lambda: backend.list_files(jobs["folder"], "nothing"),
        lambda: backend.list_files(unknown),
        lambda: backend.open(unknown, "stdout"),
        lambda: backend.evidence(unknown),
        lambda: backend.description(unknown),
    ):
        with pytest.raises(JobNotFoundError):
            ask()
    assert backend.query([unknown, "not an id"]) == {}


def test_many_threads_share_the_library(backend: BindingsBackend, jobs: dict[str, str]) -> None:
    ended(backend, jobs["many"])

    def work(number: int) -> bytes:
        assert backend.query([jobs["many"]])[jobs["many"]].state == "Finished"
        return content(backend, jobs["many"], f"out/{number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(1, 9))) == [b"%d\n" % number for number in range(1, 9)]


def test_cancelling_and_erasing(backend: BindingsBackend, jobs: dict[str, str]) -> None:
    running, finished, other = jobs["running"], jobs["erased"], jobs["erased together"]
    unknown = running[:-6] + "zzzzzz"
    until(backend, running, lambda info: info.state == "Running")
    assert content(backend, running, "stdout") == b"started\n"
    ended(backend, finished)
    ended(backend, other)
    assert backend.states([finished, running]) == {finished: "Finished", running: "Running"}

    for job_id in (finished, running):
        assert backend.cancel([job_id]) == {}
    for job_ids in ([unknown], ["not an id"], [finished, unknown, "not an id"]):
        failures = backend.cancel(job_ids)
        assert set(failures) == {*job_ids} - {finished}
        assert all(isinstance(error, JobNotFoundError) for error in failures.values())
    assert ended(backend, running).state in ("Killed", "Failed")

    assert backend.clean([finished]) == backend.clean([unknown]) == {}
    assert backend.clean([running, other, unknown]) == {}
    until_gone(backend, finished, running, other)
    assert backend.query([finished, running]) == backend.states([finished, running]) == {}
    assert backend.clean([finished]) == backend.clean([running, other]) == {}


def test_the_reason_of_a_rejection_is_told(backend: BindingsBackend) -> None:
    (alone,) = backend.submit([shell("true", queue="nowhere")])
    together, right = backend.submit([shell("true", queue="nowhere"), shell("true")])
    for error in (alone, together):
        assert isinstance(error, JobSubmissionError)
        assert "nowhere" in str(error) and "not allowed" in str(error)
    assert "short" in str(alone)
    assert isinstance(right, str)


def test_a_job_whose_upload_fails_is_removed(backend: BindingsBackend, mocker: MockerFixture) -> None:
    erase = mocker.spy(submission, "erase")
    too_long = "x" * 300
    (error,) = backend.submit([shell("true", inputs={"fine": b"1", too_long: b"2"})])
    assert isinstance(error, JobSubmissionError)
    assert too_long in str(error) and not isinstance(error, SubmissionUnknownError)
    (native_id,) = erase.spy_return
    until_gone(backend, f"{backend.endpoint}/rest/1.0/jobs/{native_id}")


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
        for jobs in ([shell("true")], [shell("true"), shell("true")]):
            with pytest.raises(NoTargetsAvailableError, match=nobody.endpoint):
                nobody.submit(jobs)
        with pytest.raises(NoTargetsAvailableError, match="cannot connect"):
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


def test_a_name_that_is_not_in_the_servers_certificate_is_refused(
    make_backend: MakeBackend, backend: BindingsBackend, tmp_path: Path
) -> None:
    by_number = make_backend(
        ARC_SERVER=backend.endpoint.removeprefix("https://").replace("localhost", "127.0.0.1"),
        JOBS_INFO_FILE=str(tmp_path / "jobs.dat"),
    )
    job_id = f"{by_number.endpoint}/rest/1.0/jobs/abc"
    for ask in (
        lambda: by_number.submit([shell("true")]),
        by_number.site,
        by_number.list_jobs,
        lambda: by_number.query([job_id]),
        lambda: by_number.cancel([job_id]),
        # The id of a job may name any host.
        lambda: backend.cancel([job_id]),
        lambda: backend.arc_job(job_id),
    ):
        with pytest.raises(ServerError, match=r"127\.0\.0\.1.* is not trusted.*set ARC_SERVER to the host's name"):
            ask()
    assert JobList(tmp_path / "jobs.dat").unfinished(by_number.endpoint) == []


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


def description_there(backend: BindingsBackend, job_id: str) -> str:
    try:
        return backend.evidence(job_id).get("description", "")
    except JobNotFoundError:
        # A job of another test, which has been erased meanwhile.
        return ""


def test_an_answer_that_is_lost_is_unknown(make_backend: MakeBackend, backend: BindingsBackend, tmp_path: Path) -> None:
    host, port = backend.endpoint.split("/")[2].split(":")
    before = set(backend.list_jobs())
    # Name, discovery; name, delegation, submission.
    relay = Cutter(host, int(port), cut=5)
    behind = make_backend(ARC_SERVER=f"{host}:{relay.port}/arex", JOBS_INFO_FILE=str(tmp_path / "jobs.dat"))
    (error,) = behind.submit([shell("true", name="unknown-outcome")])
    relay.close()

    assert isinstance(error, SubmissionUnknownError), error
    job_list = JobList(tmp_path / "jobs.dat")
    (intention,) = job_list.unfinished(behind.endpoint)
    assert intention.name == "unknown-outcome" and intention.abandoned
    others = set(backend.list_jobs()) - before
    created = [job_id for job_id in others if intention.token in description_there(backend, job_id)]
    assert len(created) == 1
    assert backend.cancel(created) == {}
    ended(backend, created[0])
    assert backend.clean(created) == {}


def test_the_users_log_has_what_the_library_says(make_backend: MakeBackend) -> None:
    stream = io.StringIO()
    backend = make_backend(stream=stream, level=LogLevels.DEBUG)
    submitted(backend, shell("true", name="%n%s"))
    log = stream.getvalue()
    assert "Arc.DataMover" in log and "submission brokering" in log
    assert "PRIVATE KEY" not in log

    usual = io.StringIO()
    submitted(make_backend(stream=usual, level=LogLevels.INFO), shell("true"))
    assert "Arc." not in usual.getvalue()
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
    from jasmin_arc.backends.base import Services
    from jasmin_arc.backends.bindings import BindingsBackend
    from jasmin_arc.config import ConnectionConfig
    from jasmin_arc.job_list import JobList
    from jasmin_arc._support.logs import make_logger
    from jasmin_arc.constants import LogLevels
    from jasmin_arc.credentials.proxy import ProxyManager

    config = ConnectionConfig(json.loads(sys.argv[1]))
    log = make_logger(None, LogLevels.INFO)
    backend = BindingsBackend(
        config, Services(JobList(config.JOBS_INFO_FILE), lambda: ProxyManager(config, log), log)
    )
    atexit.register(lambda: print("atexit"))
    print(sorted(backend.query(sys.argv[2:]).values(), key=lambda info: info.id)[0].exit_code)
    ctypes.CDLL(None).printf(b"from C\\n")
    sys.stdout.write("unfinished line ")
    sys.exit(7)
"""


def test_another_process_asks_and_ends_normally(
    grid_config: dict[str, Any], backend: BindingsBackend, jobs: dict[str, str], tmp_path: Path
) -> None:
    ended(backend, jobs["exit 3"])
    config = {
        **grid_config,
        "PROXY_FILE": str(backend.user_config().ProxyPath()),
        "JOBS_INFO_FILE": str(tmp_path / "jobs.dat"),
    }
    command = [sys.executable, "-c", textwrap.dedent(CHILD), json.dumps(config), jobs["exit 3"]]
    # Without the cure, the process never ends.
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode == 7
    assert done.stdout.startswith("from C\n3\n") or done.stdout.startswith("3\n")
    assert "unfinished line atexit" in done.stdout and "from C" in done.stdout


def test_jobs_are_listed_for_arcs_own_tools(
    grid_config: dict[str, Any], backend: BindingsBackend, tmp_path: Path
) -> None:
    job_list = JobList(tmp_path / "jobs.dat")
    config = ConnectionConfig(
        {**grid_config, "PROXY_FILE": str(backend.user_config().ProxyPath()), "JOBS_INFO_FILE": str(job_list.path)}
    )
    log = make_logger(None, LogLevels.INFO)
    own = BindingsBackend(config, Services(job_list, lambda: ProxyManager(config, log), log))
    (job_id,) = submitted(own, shell("true", name="for arcstat"))
    assert job_list.ids(own.endpoint) == [job_id]
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
    ended(own, job_id)
    failures: dict[str, JasminArcError] = own.clean([job_id])
    assert failures == {}
