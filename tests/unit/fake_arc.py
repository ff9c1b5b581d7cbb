"""A stand-in for the ``arc`` module: an imaginary compute element in memory, which can be told to misbehave.

It has what the bindings backend uses, no more, and writes to its log the lines that the real library writes (copied
from the log of ARC 6.17). Its classes, methods and attributes have the library's names; tests/e2e/test_fake_arc.py
compares them with the real library.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class Settable:
    """An object of the library with nothing but attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Period:
    def __init__(self, seconds: int = -1) -> None:
        self.seconds = seconds

    def GetPeriod(self) -> int:
        return self.seconds


class JobState:
    def __init__(self, general: str = "Undefined", native: str = "") -> None:
        self.general, self.native = general, native

    def GetGeneralState(self) -> str:
        return self.general

    def GetSpecificState(self) -> str:
        return self.native

    def __bool__(self) -> bool:
        return self.general != "Undefined"


class JobDescriptionResult:
    def __init__(self, accepted: bool, reason: str) -> None:
        self.accepted, self.reason = accepted, reason

    def __bool__(self) -> bool:
        return self.accepted

    def str(self) -> str:
        return self.reason


class Software:
    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name


class CPComputingShareAttributes(Settable): ...


class CPComputingManagerAttributes(Settable): ...


class CPComputingServiceAttributes(Settable): ...


class CPComputingEndpointAttributes(Settable): ...


class ExecutionTarget(Settable): ...


HANDED_OUT = (
    *(Period, JobState, JobDescriptionResult, Software, ExecutionTarget, CPComputingShareAttributes),
    *(CPComputingManagerAttributes, CPComputingServiceAttributes, CPComputingEndpointAttributes),
)
"""The classes whose objects the library makes, and the backend only gets."""


class FakeArc:
    """The module. Attributes in small letters are for tests, the others are the library's.

    :param endpoint: the address of the imaginary compute element
    """

    ARC_VERSION = "6.17.0"
    DEBUG, VERBOSE, INFO = 1, 2, 4
    LongFormat = "long"

    def __init__(self, endpoint: str = "https://ce.example.org:443/arex") -> None:
        self.endpoint = endpoint
        self.calls: list[str] = []
        """What the library was asked to send to a server"""
        self.jobs: dict[str, Any] = {}
        self.queues = ["short", "long"]
        self.reachable = True
        self.submitted: list[str] = []
        self.discoveries = 0
        self.on_submit: Callable[[str, Any], str] = self.accept
        self.answers: dict[str, tuple[int, str]] = {}
        self.destination: Any = None
        self.threshold = 0
        self.user_configs: list[Any] = []
        self.actions: list[tuple[str, str]] = []
        self._define()

    # --- For tests ---

    def log(self, level: str, domain: str, text: str) -> None:
        with self.destination.path.open("a", encoding="utf-8") as file:
            file.write(f"[2026-11-20 08:18:47] [Arc.{domain}] [{level}] [31180/327945216] {text}\n")

    def close(self) -> None:
        if self.destination is not None:
            self.destination.file.close()

    def add_job(self, name: str, general: str = "Running", native: str = "RUNNING", **attributes: Any) -> str:
        job_id = f"{self.endpoint}/rest/1.0/jobs/{name}"
        self.jobs[name] = {"State": JobState(general, native), **attributes}
        return job_id

    def accept(self, name: str, description: Any) -> str:
        self.log_uploads(name, description)
        return self.add_job(name, "Accepted", "ACCEPTED")

    def log_uploads(self, name: str, description: Any) -> None:
        for target, path in description.files:
            where = f"file:{path} to {self.endpoint}/rest/1.0/jobs/{name}/session/{target}"
            self.log("INFO", "DataMover", f"Transfer from {where}")

    def no_connection(self) -> None:
        self.log("ERROR", "MCC.TLS", "Failed to establish connection: TCP: GENERIC_ERROR (Failed to connect to ce:443)")

    # --- The library ---

    def _define(self) -> None:
        fake = self

        class LogFile:
            def __init__(self, path: str) -> None:
                # The file is soon without a name; this still leads to it.
                self.file = open(path, "ab")  # noqa: SIM115
                self.path = Path(f"/proc/self/fd/{self.file.fileno()}")

            def setFormat(self, layout: str) -> None:
                assert layout == fake.LongFormat

        class Logger:
            @staticmethod
            def getRootLogger() -> Any:
                return Logger()

            def removeDestinations(self) -> None: ...

            def addDestination(self, destination: Any) -> None:
                fake.destination = destination

            def setThreshold(self, level: int) -> None:
                fake.threshold = level

        class UserConfig:
            def __init__(self, kind: Any) -> None:
                self.kind = kind
                fake.user_configs.append(self)

            def ProxyPath(self, path: str) -> None:
                self.proxy_path = path

            def CACertificatesDirectory(self, path: str) -> None:
                self.certificates = path

            def Timeout(self, seconds: int) -> None:
                self.timeout = seconds

        class URL:
            def __init__(self, text: str) -> None:
                self.text = text

        class Job:
            def __init__(self, other: Any = None) -> None:
                self.JobID = self.IDFromEndpoint = ""
                self.ExitCode = -1
                for name in ("ServiceInformation", "JobStatus", "JobManagement"):
                    setattr(self, name + "URL", None)
                    setattr(self, name + "InterfaceName", "")
                self.State = JobState()
                if other is not None:
                    self.__dict__.update(vars(other))

            def PrepareHandler(self, user_config: Any) -> bool:
                return True

            def Cancel(self) -> bool:
                fake.calls.append("Cancel")
                fake.actions.append(("Cancel", self.IDFromEndpoint))
                return fake.answer_for(self)

        class JobSupervisor:
            def __init__(self, user_config: Any, jobs: list[Any]) -> None:
                self.jobs: list[Any] = []
                self.processed: list[str] = []

            def AddJob(self, job: Any) -> bool:
                self.jobs.append(job)
                return True

            def Update(self) -> None:
                fake.calls.append("Update")
                for job in self.jobs:
                    if fake.answer_for(job):
                        job.__dict__.update(fake.jobs[job.IDFromEndpoint])
                        self.processed.append(job.JobID)

            def GetIDsProcessed(self) -> list[str]:
                return self.processed

            def GetAllJobs(self) -> list[Any]:
                return self.jobs

        class JobDescription:
            @staticmethod
            def Parse(text: str, found: list[Any]) -> Any:
                from xml.etree import ElementTree

                try:
                    root = ElementTree.fromstring(text)
                except ElementTree.ParseError:
                    return JobDescriptionResult(
                        False, "No job description parser was able to interpret job description"
                    )
                inputs = [
                    (_text(entry, "Name"), _text(entry, "URI").removeprefix("file://"))
                    for entry in root.iter()
                    if entry.tag.endswith("}InputFile")
                ]
                found.append(SimpleNamespace(text=text, files=inputs))
                return JobDescriptionResult(True, "")

        class Submitter:
            def __init__(self, user_config: Any) -> None:
                pass

            def Submit(self, place: Any, description: Any, job: Any) -> bool:
                fake.calls.append("Submit")
                fake.submitted.append(description.text)
                job.JobID = fake.on_submit(f"job{len(fake.submitted)}", description)
                return bool(job.JobID)

        class ComputingServiceRetriever:
            def __init__(self, user_config: Any, places: list[Any]) -> None:
                # The library begins to ask at once.
                fake.calls.append("discovery")
                fake.discoveries += 1

            def wait(self) -> None:
                if not fake.reachable:
                    fake.no_connection()

            def GetExecutionTargets(self) -> list[Any]:
                return [target(name) for name in fake.queues] if fake.reachable else []

        class JobListRetriever:
            def __init__(self, user_config: Any) -> None:
                pass

            def addConsumer(self, consumer: list[Any]) -> None:
                self.consumer = consumer

            def removeConsumer(self, consumer: list[Any]) -> None:
                pass

            def addEndpoint(self, place: Any) -> None:
                fake.calls.append("list")

            def wait(self) -> None:
                if fake.reachable:
                    self.consumer += [Settable(JobID=f"{fake.endpoint}/rest/1.0/jobs/{name}") for name in fake.jobs]
                else:
                    fake.no_connection()

            def getStatusOfEndpoint(self, place: Any) -> Any:
                return EndpointQueryingStatus()

        class EndpointQueryingStatus:
            SUCCESSFUL = "ok"

            def getStatus(self) -> str:
                return "ok" if fake.reachable else "failed"

        class Endpoint:
            JOBSUBMIT = COMPUTINGINFO = JOBLIST = 0

            def __init__(self, address: str, capability: int, interface: str) -> None: ...

        class initializeCredentialsType:
            SkipCredentials = 3

            def __init__(self, kind: int) -> None: ...

        self.classes = (
            *(LogFile, Logger, UserConfig, URL, Job, JobSupervisor, JobDescription, Submitter, JobListRetriever),
            *(ComputingServiceRetriever, EndpointQueryingStatus, Endpoint, initializeCredentialsType),
        )
        for made in self.classes:
            setattr(self, made.__name__, made)
        self.JobDescriptionList = self.JobContainer = list

    def answer_for(self, job: Any) -> bool:
        """Log what is wrong about the job, as the library does, or say that nothing is."""
        name = job.IDFromEndpoint
        if not self.reachable:
            self.no_connection()
            self.log("WARNING", "JobControllerPlugin.REST", "Failed to process jobs - wrong response: 328728576")
            self.log("WARNING", "JobControllerPlugin.REST", f"Failed to process job: {job.JobID}")
            return False
        code, reason = self.answers.get(name, (200, "") if name in self.jobs else (404, "Job not found"))
        if code != 200:
            self.log("WARNING", "JobControllerPlugin.REST", f"Failed to process job: {name} - {code} {reason}")
        return code == 200


def target(queue: str) -> ExecutionTarget:
    """An execution target of the imaginary compute element."""
    share = CPComputingShareAttributes(
        Name=queue,
        MaxWallTime=Period(3600),
        MaxCPUTime=Period(2**31 - 1),
        MaxSlotsPerJob=-1,
        MaxVirtualMemory=1024,
        MaxMainMemory=-1,
        FreeSlots=5,
        RunningJobs=-1,
        WaitingJobs=2,
    )
    return ExecutionTarget(
        ComputingShare=share,
        ComputingManager=CPComputingManagerAttributes(TotalSlots=64),
        ComputingService=CPComputingServiceAttributes(Name="lab"),
        ComputingEndpoint=CPComputingEndpointAttributes(InterfaceName="org.nordugrid.arcrest", HealthState="ok"),
        ApplicationEnvironments=[Software("ENV/PROXY"), Software("APPS/GREETING-1.0")],
    )


def _text(element: Any, name: str) -> str:
    return next((str(entry.text) for entry in element.iter() if entry.tag.endswith("}" + name)), "")
