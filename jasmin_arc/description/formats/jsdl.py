"""JSDL, which ARC itself no longer reads: its POSIX subset, as it was documented for this library in 2017.

Read and ignored: what describes the job for people, and what a broker would choose a machine by.
"""

from __future__ import annotations

from xml.etree import ElementTree

from jasmin_arc._support.xml import all_of, check, is_true, number_of, only, parse, text_of
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats.draft import Draft, software_name
from jasmin_arc.exceptions import InvalidJobDescription

JSDL = "{http://schemas.ggf.org/jsdl/2005/11/jsdl}"
_EXACT = ("Exact", "UpperBoundedRange", "LowerBoundedRange")


def from_jsdl(text: str) -> JobDescription:
    root = parse(text, lambda reason: InvalidJobDescription(f"JSDL: {reason}"), root=JSDL + "JobDefinition")
    check(root, ("JobDescription",))
    job = only(root, "JobDescription")
    check(job, ("JobIdentification", "Application", "Resources", "DataStaging"))
    draft = Draft()
    identification = only(job, "JobIdentification")
    # No compute element charges by the project.
    check(identification, ("JobName",), ("Description", "JobAnnotation", "JobProject", "UserTag"))
    draft.name = text_of(identification, "JobName").strip()
    _read_application(draft, only(job, "Application"))
    _read_resources(draft, only(job, "Resources"))
    for entry in all_of(job, "DataStaging"):
        _read_staging(draft, entry)
    return draft.build()


def _read_application(draft: Draft, application: ElementTree.Element | None) -> None:
    ignored = ("ApplicationName", "ApplicationVersion", "Description")
    check(application, ("POSIXApplication", "HPCProfileApplication"), ignored)
    # Writers that give both say the same twice.
    posix = only(application, "POSIXApplication")
    program = posix if posix is not None else only(application, "HPCProfileApplication")
    limits = ("WallTimeLimit", "CPUTimeLimit", "MemoryLimit", "ProcessCountLimit")
    check(program, ("Executable", "Argument", "Input", "Output", "Error", "Environment", *limits))
    draft.executable = text_of(program, "Executable").strip()
    draft.arguments = [element.text or "" for element in all_of(program, "Argument")]
    draft.stdin = text_of(program, "Input").strip()
    draft.stdout = text_of(program, "Output").strip()
    draft.stderr = text_of(program, "Error").strip()
    for variable in all_of(program, "Environment"):
        draft.environment[variable.get("name", "")] = variable.text or ""
    draft.wall_time = number_of(program, "WallTimeLimit")
    draft.cpu_time = number_of(program, "CPUTimeLimit")
    draft.memory = number_of(program, "MemoryLimit")
    draft.slots = number_of(program, "ProcessCountLimit")


def _read_resources(draft: Draft, resources: ElementTree.Element | None) -> None:
    needs = ("TotalCPUCount", "IndividualCPUCount", "IndividualPhysicalMemory", "TotalCPUTime")
    ignored = ("OperatingSystem", "CPUArchitecture", "Platform", "FileSystem")
    sizes = ("IndividualDiskSpace", "TotalDiskSpace", "IndividualCPUSpeed")
    check(resources, (*needs, "QueueName", "CandidateTarget", "RunTimeEnvironment"), (*ignored, *sizes))
    draft.slots = _quantity(resources, "TotalCPUCount") or draft.slots
    draft.slots_per_host = _quantity(resources, "IndividualCPUCount")
    draft.memory = _quantity(resources, "IndividualPhysicalMemory") or draft.memory
    draft.cpu_time = _quantity(resources, "TotalCPUTime") or draft.cpu_time
    target = only(resources, "CandidateTarget")
    check(target, ("QueueName",))
    draft.queue = (text_of(resources, "QueueName") or text_of(target, "QueueName")).strip()
    software = all_of(only(resources, "RunTimeEnvironment"), "Software")
    draft.runtime_environments = [software_name(element) for element in software]


def _read_staging(draft: Draft, entry: ElementTree.Element) -> None:
    ignored = ("CreationFlag", "DeleteOnTermination", "Name", "FileSize", "Checksum", "DownloadToCache")
    check(entry, ("FileName", "Source", "Target", "IsExecutable"), ignored)
    name = text_of(entry, "FileName").strip()
    source, target = only(entry, "Source"), only(entry, "Target")
    check(source, ("URI",))
    check(target, ("URI",))
    if source is not None:
        draft.add_input(name, text_of(source, "URI").strip())
        if is_true(entry, "IsExecutable"):
            draft.executables[name] = "IsExecutable"
    # Neither: a file that the job makes, to be kept for download.
    if target is not None or source is None:
        draft.add_output(name, text_of(target, "URI").strip())


def _quantity(parent: ElementTree.Element | None, name: str) -> int | None:
    """The number in JSDL's range: the exact one, else its upper, else its lower bound."""
    element = only(parent, name)
    if element is None:
        return None
    check(element, _EXACT)
    if len(element) == 0:
        return number_of(parent, name)
    values = [number_of(element, kind) for kind in _EXACT if only(element, kind) is not None]
    if values[0] is None:
        raise InvalidJobDescription(f"{name}: holds no number")
    return values[0]
