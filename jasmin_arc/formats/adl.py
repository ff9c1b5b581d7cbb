"""ADL, the XML in which jobs are described to a compute element: what is sent there, and the user's own view."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from xml.etree import ElementTree

from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription, is_pattern, is_url
from jasmin_arc.formats.xml_text import child, to_text
from jasmin_arc.run_script import OUTPUT_LIST_NAME, output_list_needed

ADL = "{http://www.eu-emi.eu/es/2010/12/adl}"
NORDUGRID = "{http://www.nordugrid.org/es/2011/12/nordugrid-adl}"
ANNOTATION_PREFIX = "jasmin_arc:"
"""What the annotation with our token starts with"""


def submission_adl(
    description: JobDescription,
    inputs: Sequence[tuple[str, Path | None]],
    *,
    token: str = "",
    delegation_id: str = "",
    executables: Collection[str] = (),
) -> str:
    """Describe the job as a compute element gets it: ``/bin/sh`` on the run script.

    :param inputs: every file that the client uploads, as its name in the session directory and where it is here
        (``None``: no source is written, as the client uploads by name)
    :param token: an unguessable word by which the job is found again; it becomes an annotation
    :param delegation_id: the delegated credentials, for transfers that the compute element makes itself
    :param executables: the names of the inputs that the compute element shall make executable
    :raises InvalidJobDescription: if a name has a character that XML cannot carry
    """
    root = _root()
    identification = child(root, ADL + "ActivityIdentification")
    child(identification, ADL + "Name", description.name, field="name")
    if token:
        child(identification, ADL + "Annotation", ANNOTATION_PREFIX + token)
    application = child(root, ADL + "Application")
    _add_executable(application, ("/bin/sh", RUN_SCRIPT_NAME))
    _add_streams(application, description)
    _add_resources(root, description)
    staging = child(root, ADL + "DataStaging")
    if delegation_id:
        child(staging, NORDUGRID + "DelegationID", delegation_id)
    for name, path in inputs:
        source = "" if path is None else "file://" + str(path.absolute())
        _add_input(staging, name, source, delegation_id, executable=name in executables)
    for name, source in description.inputs.items():
        if isinstance(source, str):
            _add_input(staging, name, source, delegation_id)
    _add_submission_outputs(staging, description, delegation_id)
    return to_text(root, ADL)


def _root() -> ElementTree.Element:
    ElementTree.register_namespace("nordugrid-adl", NORDUGRID.strip("{}"))
    return ElementTree.Element(ADL + "ActivityDescription")


def _add_executable(application: ElementTree.Element, command: Sequence[str]) -> None:
    executable = child(application, ADL + "Executable")
    child(executable, ADL + "Path", command[0], field="executable")
    for argument in command[1:]:
        child(executable, ADL + "Argument", argument, field="arguments")


def _add_streams(application: ElementTree.Element, description: JobDescription) -> None:
    child(application, ADL + "Output", STDOUT_NAME)
    child(application, ADL + "Error", STDERR_NAME)
    if description.rerun:
        child(application, NORDUGRID + "Rerun", str(description.rerun))


def _add_resources(root: ElementTree.Element, description: JobDescription) -> None:
    resources = child(root, ADL + "Resources")
    for name in description.runtime_environments:
        child(child(resources, ADL + "RuntimeEnvironment"), ADL + "Name", name, field="runtime_environments")
    if description.memory is not None:
        child(resources, ADL + "IndividualPhysicalMemory", str(description.memory))
    if description.cpu_time is not None:
        child(resources, ADL + "TotalCPUTime", str(int(description.cpu_time.total_seconds())))
    if description.wall_time is not None:
        child(resources, ADL + "WallTime", str(int(description.wall_time.total_seconds())))
    if description.slots != 1 or description.slots_per_host is not None:
        slots = child(resources, ADL + "SlotRequirement")
        child(slots, ADL + "NumberOfSlots", str(description.slots))
        if description.slots_per_host is not None:
            child(slots, ADL + "SlotsPerHost", str(description.slots_per_host))
    if description.queue is not None:
        child(resources, ADL + "QueueName", description.queue, field="queue")


def _add_input(
    staging: ElementTree.Element, name: str, source: str, delegation_id: str = "", *, executable: bool = False
) -> None:
    element = child(staging, ADL + "InputFile")
    child(element, ADL + "Name", name, field="inputs")
    if source:
        origin = child(element, ADL + "Source")
        child(origin, ADL + "URI", source, field="inputs")
        if delegation_id and is_url(source) and not source.startswith("file:"):
            child(origin, ADL + "DelegationID", delegation_id)
    if executable:
        child(element, ADL + "IsExecutable", "true")


def _add_output(staging: ElementTree.Element, name: str, target: str | None = None, delegation_id: str = "") -> None:
    element = child(staging, ADL + "OutputFile")
    child(element, ADL + "Name", name, field="outputs")
    if target is not None:
        destination = child(element, ADL + "Target")
        child(destination, ADL + "URI", target, field="outputs")
        if delegation_id:
            child(destination, ADL + "DelegationID", delegation_id)
        child(destination, ADL + "Mandatory", "false")


def _add_submission_outputs(staging: ElementTree.Element, description: JobDescription, delegation_id: str) -> None:
    outputs = {STDOUT_NAME: None, STDERR_NAME: None, **(description.outputs or {})}
    for name, target in outputs.items():
        if not is_pattern(name):
            _add_output(staging, name, target, delegation_id)
    if output_list_needed(description):
        _add_output(staging, "@" + OUTPUT_LIST_NAME)
