"""A compute element as far as its REST interface goes: it creates jobs and keeps files, but runs nothing by itself."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import unquote

from faults.https_server import Reply, Request, xml

JOBS = re.compile(r"/arex/rest/1\.[01]/jobs")


@dataclass
class FakeJob:
    name: str
    description: str
    state: str = "PREPARING"
    """The live state, in the words of the REST interface"""
    written: str = ""
    """What the information provider has written; empty: it knows as much as the live state"""
    files: dict[str, bytes] = field(default_factory=dict)
    delegations: list[str] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    info: str = ""
    title: str = "n"
    """Its name, where its description tells none"""
    times: dict[str, str] = field(default_factory=dict)
    """When files were written, where that is not just now"""
    gap: int = 0
    """For how many questions more its state is not to be found"""

    def in_gap(self) -> bool:
        self.gap = max(0, self.gap - 1)
        return self.gap > 0

    @property
    def complete(self) -> bool:
        return ".jasmin_arc_run" in self.files


class FakeCe:
    """Answers requests. ``before`` may answer in its place, ``after`` may change an answer."""

    def __init__(self, versions: tuple[str, ...] = ("1.0",)) -> None:
        self.versions = versions
        self.jobs: dict[str, FakeJob] = {}
        self.before: Callable[[Request], Reply | None] = lambda request: None
        self.after: Callable[[Request, Reply], Reply] = lambda request, reply: reply
        self.requests: list[str] = []
        self.renewed: list[str] = []
        self.held: dict[str, bytes] = {}
        self.tokens: dict[str, str] = {}
        self.csr = b""
        self._lock = threading.Lock()
        self._delegations = 0

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(f"{request.method} {request.path}")
            return self.before(request) or self.after(request, self._answer(request))

    def _answer(self, request: Request) -> Reply:
        path, _, query = request.path.partition("?")
        if path == "/arex/rest":
            return xml(
                "<versions>" + "".join(f"<version>{version}</version>" for version in self.versions) + "</versions>"
            )
        if "/delegations" in path:
            return self._delegate(request, path, query)
        match = JOBS.match(path)
        if match is None:
            return Reply(404, reason="Not found")
        rest = path[match.end() :].strip("/")
        if rest:
            return self._one(request, *rest.split("/", 2))
        if request.method == "GET":
            return self._list(query)
        action = query.partition("action=")[2]
        return self._new(request) if action == "new" else self._bulk(action, request.body.decode())

    def _delegate(self, request: Request, path: str, query: str) -> Reply:
        if query == "action=new&type=jwt":
            delegation_id = f"jwt{len(self.tokens)}"
            self.tokens[delegation_id] = request.headers.get("x-token-delegation", "")
            return Reply(201, b"", {"Location": f"{path}/{delegation_id}"})
        if query == "action=new":
            self._delegations += 1
            return Reply(201, self.csr, {"Location": f"{path}?{query}/deleg{self._delegations}"})
        if query == "action=get":
            held = self.held.get(path.rpartition("/")[2])
            return Reply(404, reason="No such delegation") if held is None else Reply(200, held)
        if query == "action=renew":
            self.renewed.append(path.rpartition("/")[2])
            return Reply(201, self.csr)
        if request.method == "GET":
            known = {*self.held, *self.tokens, *(entry for job in self.jobs.values() for entry in job.delegations)}
            kinds = {entry: "jwt" if entry in self.tokens else "x509" for entry in sorted(known)}
            told = (f"<delegation><id>{entry}</id><type>{kind}</type></delegation>" for entry, kind in kinds.items())
            return xml(f"<delegations>{''.join(told)}</delegations>")
        return Reply()

    def _new(self, request: Request) -> Reply:
        answers = []
        for text in re.findall(
            r"<(?:\w+:)?ActivityDescription[ >].*?</(?:\w+:)?ActivityDescription>", request.body.decode(), re.S
        ):
            if "refuse me" in text:
                answers.append("<job><status-code>500</status-code><reason>do not like it</reason></job>")
                continue
            name = f"job{len(self.jobs)}"
            self.jobs[name] = FakeJob(name, text, delegations=re.findall(r"DelegationID>(\w+)<", text)[:1])
            answers.append(
                f"<job><status-code>201</status-code><reason>Created</reason><id>{name}</id>"
                "<state>ACCEPTING</state></job>"
            )
        return xml("<jobs>" + "".join(answers) + "</jobs>", 201)

    def _list(self, query: str) -> Reply:
        states = query.partition("state=")[2].split(",") if query else None
        entries = (
            f"<job><id>{job.name}</id>" + (f"<state>{job.state}</state>" if states else "") + "</job>"
            for job in self.jobs.values()
            if states is None or ("WIPED" if job.in_gap() else job.state) in states
        )
        return xml("<jobs>" + "".join(entries) + "</jobs>")

    def _bulk(self, action: str, body: str) -> Reply:
        return xml(
            "<jobs>" + "".join(self._act(action, name) for name in re.findall("<id>(.*?)</id>", body)) + "</jobs>", 201
        )

    def _act(self, action: str, name: str) -> str:
        job = self.jobs.get(name)
        if job is None:
            return f"<job><status-code>404</status-code><reason>Job not found</reason><id>{name}</id></job>"
        code, more = 202, ""
        if action == "kill" and job.state not in ("FINISHED", "FAILED", "KILLED"):
            job.state, job.logs["failed"] = "FAILED", "Job is canceled by external request\n"
            job.written = job.written or "KILLED"
        elif action == "clean":
            del self.jobs[name]
        elif action == "status":
            code, more = 200, f"<state>{job.written or job.state}</state>"
        elif action == "delegations":
            code, more = 200, "".join(f"<delegation_id>{entry}</delegation_id>" for entry in job.delegations)
        elif action == "info":
            written = f"<State>arcrest:{job.written or job.state}</State>"
            title = (
                "".join(re.findall(r"ActivityIdentification>\s*<(?:\w+:)?Name>(.*?)<", job.description)) or job.title
            )
            document = (
                f'<ComputingActivity xmlns="urn:glue2"><Name>{title}</Name>{written}{job.info}</ComputingActivity>'
            )
            code, more = 200, f"<info_document>{document}</info_document>"
        elif action == "restart":
            code = 505
        return f"<job><status-code>{code}</status-code><reason>Because</reason><id>{name}</id>{more}</job>"

    def _one(self, request: Request, name: str, kind: str = "", path: str = "") -> Reply:
        job = self.jobs.get(name)
        if job is None:
            return Reply(404, reason="OK")
        if kind == "diagnose":
            return self._diagnose(job, path)
        path = unquote(path)
        if request.method == "PUT":
            job.files[path] = request.body
            return Reply()
        if request.method == "PROPFIND":
            return _properties(job, path)
        return _file(job, path, request.headers.get("range", ""))

    def _diagnose(self, job: FakeJob, what: str) -> Reply:
        if what == "status" and job.in_gap():
            return Reply(404, reason="Not found")
        own = {
            "RUNNING": "INLRMS",
            "FAILED": "FINISHED",
            "KILLED": "FINISHED",
            "SUBMITTING": "SUBMIT",
            "WIPED": "DELETED",
        }
        logs = {
            "status": own.get(job.state, job.state) + "\n",
            "description": job.description,
            "input_status": "\n" + "".join(f"/{name}\n" for name in job.files),
            **({"failed": "LRMS error: (3) Job failed\n"} if job.state == "FAILED" else {}),
            **job.logs,
        }
        return Reply(200, logs[what].encode()) if what in logs else Reply(404, reason="Not found")


def _properties(job: FakeJob, path: str) -> Reply:
    found = "<d:status>HTTP/1.1 404 Not Found</d:status>"
    if path in job.files:
        time = job.times.get(path) or datetime.now(timezone.utc).isoformat(timespec="seconds")
        found = f"<d:propstat><d:prop><d:getlastmodified>{time}</d:getlastmodified></d:prop></d:propstat>"
    return xml(f'<d:multistatus xmlns:d="DAV:"><d:response>{found}</d:response></d:multistatus>')


def _file(job: FakeJob, path: str, wanted: str) -> Reply:
    if path in job.files:
        body, start = job.files[path], int(wanted[6:-1] or 0) if wanted else 0
        if start > len(body) or (start and start == len(body)):
            return Reply(416, reason="Range not satisfiable")
        headers = {"Content-Type": "application/octet-stream"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return Reply(206 if start else 200, body[start:], headers)
    inside = [name[len(path) :].strip("/") for name in job.files if not path or name.startswith(path + "/")]
    if path and not inside:
        return Reply(404, reason="Not found")
    folders = sorted({name.partition("/")[0] for name in inside if "/" in name})
    files = "".join(
        f'<file size="{len(job.files[f"{path}/{name}".strip("/")])}">{name}</file>'
        for name in inside
        if "/" not in name
    )
    return xml("<list>" + files + "".join(f"<dir>{name}</dir>" for name in folders) + "</list>")
