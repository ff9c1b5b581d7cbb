"""What README.md promises of a grid, on one of its own beside the usual one."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.grid
GRID = Path(__file__).with_name("grid.sh")
DAEMONS = ["munged", "slurmctld", "slurmd", "sshd", "arex-ws", "arex", "accelerate"]


ARC7_DAEMONS = ["arex-ws", "arex", "accelerate", "voms-server"]
SITE_DAEMONS = ["munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "slurmd-frail", "slurmd-scarce", "sshd"]


class Slurm:
    """A grid's own commands, as users of Slurm have them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, command: str, *arguments: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        words = ["runuser", "-u", user, "--", str(self.folder / "bin" / command), *arguments]
        return subprocess.run(words, cwd="/", capture_output=True, text=True, timeout=60)

    def submit(self, script: str, *options: str, user: str = "root") -> str:
        """Submit a job with an account, and return its number; its outputs are not kept unless an option says where."""
        arguments = (
            "--parsable",
            "--export=NIL",
            "--account=mygws",
            "--output=/dev/null",
            *options,
            f"--wrap={script}",
        )
        done = self.run("sbatch", *arguments, user=user)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def job(self, number: str) -> tuple[str, str]:
        """State and reason of a job."""
        answer = self.run("squeue", "-h", "-t", "all", "-j", number, "-o", "%T|%r").stdout
        state, _, reason = answer.strip().partition("|")
        return state, reason

    def wait_for(self, number: str, *states: str) -> tuple[str, str]:
        """Wait until a job is in one of the states; tell it, with its reason."""
        deadline = time.monotonic() + 60
        while (job := self.job(number))[0] not in states:
            assert time.monotonic() < deadline, job
            time.sleep(0.2)
        return job

    def ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.folder / "ssh" / "bin" / "ssh"), "-o", "BatchMode=yes", *words]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


class Grid:
    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port

    def run(self, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment(**settings)
        return subprocess.run([GRID, *command], env=environment, capture_output=True, text=True, timeout=240)

    def environment(self, **settings: str) -> dict[str, str]:
        return {**os.environ, "GRID_DIR": str(self.folder), "GRID_PORT": str(self.port), **settings}

    def up(self) -> None:
        done = self.run("up")
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{self.folder}/config.json\n"

    def pids(self) -> dict[str, int]:
        lines = self.run("status").stdout.splitlines()
        return {line.split(":")[0]: int(line.split()[-1]) for line in lines if ": running, pid " in line}

    def ports(self) -> list[int]:
        """Those of its ports that somebody listens on."""
        found = []
        for port in (self.port, self.port + 1, self.port + 8000, self.port + 16000):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    found.append(port)
        return found


@pytest.fixture(scope="module")
def grid(grid_config: dict[str, Any]) -> Iterator[Grid]:
    """Only where the usual grid is."""
    folder = Path(tempfile.mkdtemp(prefix="jasmin-arc-test-grid-", dir="/tmp"))
    grid = Grid(folder, 10000 + os.getpid() % 900)
    try:
        yield grid
    finally:
        grid.run("wipe")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def site(site_folder: Path) -> Slurm:
    """The site like JASMIN, which other tests use too: so only jobs of their own are looked at here."""
    return Slurm(site_folder)


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has waited for yet does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def processes_of(folder: Path) -> list[str]:
    """What carries a grid's mark or was started by its Slurm, by command line."""
    marks = (b"JASMIN_ARC_GRID=", f":{folder}\0".encode()), (b"SLURM_JOB_ID=", f"SLURM_CONF={folder}/".encode())
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment, command = (process / "environ").read_bytes(), (process / "cmdline").read_text()
        except OSError:
            continue
        if any(first in environment and second in environment for first, second in marks):
            found.append(command)
    return found


def test_a_port_that_is_taken_is_named_and_nothing_is_started(grid: Grid) -> None:
    with socket.create_server(("127.0.0.1", grid.port + 16000)):
        done = grid.run("up")
    assert done.returncode == 1
    assert f"port {grid.port + 16000} is in use by" in done.stderr
    assert "GRID_SLURMD_PORT" in done.stderr
    assert grid.pids() == {}


def test_it_comes_up_beside_another_and_a_second_call_changes_nothing(grid: Grid, grid_config: dict[str, Any]) -> None:
    grid.up()
    before = grid.pids()
    assert sorted(before) == sorted(DAEMONS)
    assert grid.ports() == [grid.port, grid.port + 1, grid.port + 8000, grid.port + 16000]
    config = json.loads((grid.folder / "config.json").read_text())
    assert config["ARC_SERVER"] == f"localhost:{grid.port}/arex" != grid_config["ARC_SERVER"]
    assert Path(config["CLIENT_KEY"]).stat().st_mode & 0o777 == 0o600
    grid.up()
    assert grid.pids() == before
    assert grid.run("status").returncode == 0


def test_other_settings_are_refused_while_it_runs(grid: Grid) -> None:
    grid.up()
    timers, port = grid.run("up", GRID_TIMERS="stock"), grid.run("up", GRID_PORT=str(grid.port + 1))
    assert (timers.returncode, port.returncode) == (1, 1)
    assert "running with short timers, not stock" in timers.stderr
    assert f"running on port {grid.port}, not" in port.stderr


def test_a_grid_stays_the_site_that_it_is(grid: Grid) -> None:
    grid.up()
    done = grid.run("up", GRID_SITE="jasmin")
    assert done.returncode == 1
    assert f"the grid in {grid.folder} is the plain site, not jasmin" in done.stderr


def test_users_come_over_ssh_to_a_shell_that_talks_and_find_the_same_slurm(grid: Grid) -> None:
    grid.up()
    slurm = Slurm(grid.folder)
    config = json.loads((grid.folder / "slurm-ssh.json").read_text())
    seen = slurm.ssh(config["SLURM_HOST"], f"id -un; {config['SLURM_BIN']}/scontrol show config")
    assert seen.stdout.startswith("Welcome to the grid\ngriduser\n")
    assert seen.stderr == "Have a nice day\n"
    here = slurm.run("scontrol", "show", "config").stdout
    port = re.compile(rf"^SlurmctldPort\s*= {grid.port + 8000}$", re.M)
    assert port.search(seen.stdout) and port.search(here)
    assert slurm.ssh("grid-ssh-root", "id -un").stdout == "root\n"


def test_each_call_of_slurm_and_ssh_is_written_down(grid: Grid) -> None:
    grid.up()
    slurm = Slurm(grid.folder)
    slurm.ssh("grid-ssh", f"{grid.folder}/bin/squeue -h --name='over\nthere'")
    slurm.run("squeue", "--name=here", user="griduser")
    calls = (grid.folder / "calls" / "squeue").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in calls[-2:]] == ["'-h' $'--name=over\\nthere'", "'--name=here'"]
    assert "'grid-ssh'" in (grid.folder / "calls" / "ssh").read_text().splitlines()[-1]


def test_a_connection_has_at_most_four_sessions_and_host_keys_are_checked(grid: Grid, tmp_path: Path) -> None:
    grid.up()
    slurm = Slurm(grid.folder)
    shared = ("-o", f"ControlPath={tmp_path}/m")
    assert slurm.ssh(*shared, "-o", "ControlMaster=yes", "-o", "ControlPersist=60", "grid-ssh", "true").returncode == 0
    command = [str(grid.folder / "ssh" / "bin" / "ssh"), *shared, "-o", "BatchMode=yes", "grid-ssh", "echo in; cat"]
    sessions = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    try:
        for session in sessions:
            assert session.stdout is not None
            assert session.stdout.readline() + session.stdout.readline() == b"Welcome to the grid\nin\n"
        fifth = slurm.ssh(*shared, "grid-ssh", "true")
        assert "Session open refused by peer" in fifth.stderr
    finally:
        for session in sessions:
            session.communicate()
        slurm.ssh(*shared, "-O", "exit", "grid-ssh")
    unknown = slurm.ssh("-o", "UserKnownHostsFile=/dev/null", "grid-ssh", "true")
    assert (unknown.returncode, "Host key verification failed" in unknown.stderr) == (255, True)


def test_jobs_load_the_modules_of_the_grid(grid: Grid) -> None:
    grid.up()
    slurm = Slurm(grid.folder)
    output = grid.folder / "work" / "module.out"
    job = slurm.submit('bash -lc "module load jaspy && echo \\$JASPY_GREETING"', f"--output={output}")
    assert slurm.wait_for(job, "COMPLETED", "FAILED") == ("COMPLETED", "None")
    assert output.read_text() == "hello from jaspy\n"


def test_a_rex_stops_and_starts_without_slurm_noticing(grid: Grid) -> None:
    grid.up()
    before = grid.pids()
    assert grid.run("stop-arex").returncode == 0
    assert sorted(grid.pids()) == ["munged", "slurmctld", "slurmd", "sshd"]
    assert grid.run("start-arex").returncode == 0
    after = grid.pids()
    assert {name for name in DAEMONS if after[name] != before[name]} == {"arex", "arex-ws", "accelerate"}


def test_it_recovers_from_daemons_that_were_killed(grid: Grid) -> None:
    grid.up()
    for name, pid in grid.pids().items():
        if name in ("munged", "arex", "arex-ws"):
            os.kill(pid, 9)
    assert grid.run("status").returncode == 3
    grid.up()


def test_down_leaves_no_process_and_no_port_and_spares_strangers(grid: Grid) -> None:
    grid.up()
    pids = grid.pids()
    slurm = Slurm(grid.folder)
    slurm.wait_for(slurm.submit("sleep 300"), "RUNNING")
    ssh = [str(grid.folder / "ssh" / "bin" / "ssh"), "grid-ssh", "echo here; trap '' HUP; sleep 300"]
    session = subprocess.Popen(ssh, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert session.stdout is not None
    assert session.stdout.readline() + session.stdout.readline() == b"Welcome to the grid\nhere\n"
    with subprocess.Popen(["sleep", "300"]) as stranger:
        # as if the pid of a daemon that has died belonged to another process by now
        (grid.folder / "arc" / "run" / "accelerate.pid").write_text(f"{stranger.pid}\n")
        for _ in range(2):
            assert grid.run("down").returncode == 0
        assert stranger.poll() is None
        stranger.kill()
    assert session.wait(10) != 0
    session.stdout.close()
    assert not [name for name, pid in pids.items() if alive(pid)]
    assert processes_of(grid.folder) == []
    assert grid.ports() == []
    assert grid.run("status").returncode == 3
    assert (grid.folder / "arc" / "log" / "arex.log").stat().st_size > 0


def running_daemons(folder: Path) -> dict[str, str]:
    environment = {**os.environ, "GRID_DIR": str(folder)}
    status = subprocess.run([GRID, "status"], env=environment, capture_output=True, text=True, timeout=60)
    assert status.returncode == 0, status.stdout
    return dict(re.findall(r"^(\S+): running, pid (\d+)$", status.stdout, re.M))


def listening(daemons: dict[str, str]) -> list[str]:
    """What ss says of each port that one of them listens on."""
    sockets = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in sockets for pid in daemons.values() if f"pid={pid}," in line]


def test_the_site_like_jasmin_runs_and_listens_on_the_loopback_alone(site: Slurm) -> None:
    running = running_daemons(site.folder)
    assert list(running) == SITE_DAEMONS
    of_site = listening(running)
    assert len(of_site) == 6  # MariaDB has none
    assert all(" 127.0.0.1:" in line for line in of_site)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ([], "Job rejected: Please specify an account!"),
        (["--account=orchid"], "Invalid account or account/partition combination specified"),
        (["--account=no-project", "--qos=high"], "Invalid qos specification"),
        (["--account=mygws", "--partition=nohold", "--hold"], "Jobs on hold are not accepted here"),
        (["--account=mygws", "--qos=debug", "--array=0-32"], "QOSMaxSubmitJobPerUserLimit"),
        (["--account=mygws", "--array=0-10001"], "Invalid job array specification"),
    ],
)
def test_the_site_refuses_in_words_of_jasmin_and_slurm(site: Slurm, options: list[str], refusal: str) -> None:
    done = site.run("sbatch", "--output=/dev/null", *options, "--wrap=true", user="griduser")
    assert (done.returncode, refusal in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--qos=short", "--time=5:00:00"], "QOSMaxWallDurationPerJobLimit"),
        (["--qos=standard", "--time=25:00:00"], "PartitionTimeLimit"),
        (["--qos=standard", "--ntasks=2"], "QOSMaxCpuPerJobLimit"),
        (["--qos=standard", "--mem=129G"], "QOSMaxMemoryPerJob"),
    ],
)
def test_the_site_lets_wait_for_ever_what_its_limits_forbid(site: Slurm, options: list[str], reason: str) -> None:
    job = site.submit("true", *options, user="griduser")
    try:
        # Slurm says "None" or "Priority" until it has looked.
        deadline = time.monotonic() + 30
        while site.job(job) != ("PENDING", reason) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert site.job(job) == ("PENDING", reason)
    finally:
        site.run("scancel", job)


def test_the_site_ends_a_job_that_takes_too_much_memory_and_accounts_for_it(site: Slurm) -> None:
    hungry = "python3 -c 'import time; b = bytearray(3 * 10**8); b[::4096] = b[::4096]; time.sleep(60)'"
    errors = site.folder / "work" / f"memory-{os.getpid()}.err"
    job = site.submit(hungry, "--mem=100", f"--error={errors}")
    assert site.wait_for(job, "FAILED", "COMPLETED") == ("FAILED", "JobLaunchFailure")
    assert "Exceeded job memory limit" in errors.read_text()
    errors.unlink()
    deadline = time.monotonic() + 30
    while (row := accounted(site, job))[0] != "FAILED":
        assert time.monotonic() < deadline, row
        time.sleep(0.5)
    assert row == ["FAILED", "0:9", "mygws"]


def accounted(site: Slurm, job: str) -> list[str]:
    """What the accounts say of a job, some time after it happened."""
    return site.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "State,ExitCode,Account").stdout.strip().split("|")


@pytest.mark.usefixtures("site_to_oneself")
def test_the_site_preempts_and_loses_nodes_where_only_who_asks_is_hit(site: Slurm) -> None:
    lesser = site.submit("sleep 300", "--partition=scavenger", "--no-requeue")
    fragile = site.submit("sleep 300", "--partition=frail", "--no-requeue")
    site.wait_for(lesser, "RUNNING")
    site.wait_for(fragile, "RUNNING")
    more_important = site.submit("true", "--nodelist=scarce")
    assert site.wait_for(lesser, "PREEMPTED", "CANCELLED")[0] == "PREEMPTED"
    site.run("scontrol", "update", "node=frail", "state=down", "reason=test")
    assert site.wait_for(fragile, "NODE_FAIL", "CANCELLED") == ("NODE_FAIL", "NodeDown")
    assert site.wait_for(more_important, "COMPLETED")[0] == "COMPLETED"


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if f" {folder}/" in line]


def test_arc_7_runs_without_a_mount_on_the_machine_and_listens_on_the_loopback_alone(arc7_folder: Path) -> None:
    running = running_daemons(arc7_folder)
    assert list(running) == ARC7_DAEMONS
    assert mounts_below(arc7_folder) == []
    assert [" 127.0.0.1:" in line for line in listening(running)] == [True, True]


def answer_of_arc7(folder: Path, credentials: str) -> int:
    """The status of a question for jobs, with a certificate, a proxy or a token."""
    config = json.loads((folder / "config.json").read_text())
    context = ssl.create_default_context(capath=config["CERTS_DIR"])
    headers = {}
    if credentials.startswith("/"):
        context.load_cert_chain(credentials, credentials.replace("cert.pem", "key.pem"))
    else:
        headers["Authorization"] = f"Bearer {credentials}"
    host, _, service = config["ARC_SERVER"].partition("/")
    connection = http.client.HTTPSConnection(host, context=context, timeout=60)
    try:
        connection.request("GET", f"/{service}/rest/1.1/jobs", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(("name", "status"), [("user", 200), ("stranger", 500), ("member", 500)])
def test_arc_7_lets_the_certificate_in_that_it_knows(arc7_folder: Path, name: str, status: int) -> None:
    assert answer_of_arc7(arc7_folder, f"{arc7_folder}/client/{name}cert.pem") == status


@pytest.mark.parametrize(
    ("options", "status"),
    [([], 200), (["/testvo/climate/Role=production"], 200), (["--ended"], 500), (["--name", "stranger"], 200)],
    ids=["member", "role", "ended", "anybody whom the VO vouches for"],
)
def test_arc_7_lets_in_whom_the_vo_vouches_for(
    arc7_folder: Path, tmp_path: Path, options: list[str], status: int
) -> None:
    proxy = tmp_path / "proxy"
    subprocess.run([arc7_folder / "bin" / "voms-proxy", proxy, *options], check=True, timeout=60)
    assert answer_of_arc7(arc7_folder, str(proxy)) == status


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ([], 200),
        (["--scope", "compute.read"], 200),
        (["--scope", "openid"], 403),
        (["--claims", '{"scope": null}'], 403),
        (["--issuer", "other"], 500),
        (["--hours", "-1"], 500),
    ],
    ids=["all", "read", "another scope", "no scope", "another issuer", "ended"],
)
def test_arc_7_takes_the_tokens_that_it_should(arc7_folder: Path, options: list[str], status: int) -> None:
    token = subprocess.run([arc7_folder / "bin" / "token", *options], check=True, capture_output=True, text=True)
    assert answer_of_arc7(arc7_folder, token.stdout.strip()) == status


@pytest.mark.parametrize(
    ("name", "asked", "answer"),
    [
        ("member", "testvo", "attribute : /testvo\nattribute : /testvo/climate\n"),
        ("member", "testvo:/testvo/climate/Role=production", "attribute : /testvo/climate/Role=production\n"),
        ("member", "testvo:/testvo/secret", "NoSuchAttribute: User unable to satisfy request: /testvo/secret"),
        ("user", "testvo", "NoSuchUser: User unknown to this VO: testvo"),
    ],
)
def test_the_vo_gives_its_members_what_they_ask_for(
    arc7_folder: Path, tmp_path: Path, name: str, asked: str, answer: str
) -> None:
    client, proxy = arc7_folder / "client", ["-P", tmp_path / "proxy", "-T", arc7_folder / "certificates"]
    cert = ["-C", client / f"{name}cert.pem", "-K", client / f"{name}key.pem"]
    made = subprocess.run(
        ["arcproxy", *proxy, *cert, "-V", client / "vomses", "-S", asked], capture_output=True, text=True, timeout=60
    )
    told = subprocess.run(["arcproxy", "-I", *proxy, "-s", arc7_folder / "vomsdir"], capture_output=True, text=True)
    assert answer in made.stdout + made.stderr + told.stdout


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"GRID_ARC": "8"}, "GRID_ARC is 6 or 7, not 8"),
        ({"GRID_ARC": "7", "GRID_SITE": "jasmin"}, "a jasmin site has no compute element"),
    ],
)
def test_what_there_is_not_is_refused(settings: dict[str, str], why: str, tmp_path: Path) -> None:
    done = Grid(tmp_path, 9999).run("up", **settings)
    assert (done.returncode, why in done.stderr) == (1, True), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.soak
def test_arc_7_comes_up_after_a_start_that_was_killed_and_goes_without_a_trace() -> None:
    grid = Grid(Path(tempfile.mkdtemp(prefix="jasmin-arc-test-arc7-", dir="/tmp")), 11000 + os.getpid() % 900)
    environment, debian = grid.environment(GRID_ARC="7"), grid.folder / "debian"
    try:
        with subprocess.Popen([GRID, "up"], env=environment, start_new_session=True) as first:
            deadline = time.monotonic() + 120
            while not Path(f"{debian}.new", "usr").exists():
                assert first.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            os.killpg(first.pid, signal.SIGKILL)
        assert not debian.exists()
        with subprocess.Popen(["sleep", "300"]) as stranger:
            for _ in range(2):  # the second time with the Debian that there is
                assert grid.run("up", GRID_ARC="7").returncode == 0
                assert list(grid.pids()) == ARC7_DAEMONS
                assert mounts_below(grid.folder) == []
                (grid.folder / "arc" / "run" / "accelerate.pid").write_text(f"{stranger.pid}\n")
                assert grid.run("down").returncode == 0
                assert (stranger.poll(), grid.pids(), processes_of(grid.folder)) == (None, {}, [])
                assert debian.is_dir()
            stranger.kill()
        assert grid.run("up", GRID_ARC="6").returncode == 1
    finally:
        grid.run("wipe")
    assert not grid.folder.exists()
