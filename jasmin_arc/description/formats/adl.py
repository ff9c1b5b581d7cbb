"""ADL, the XML in which jobs are described to a compute element: what is sent there, and the user's own view.

The user's view holds all fields but ``steps``, ``stop_on_failure``, ``account``, ``native``, contents given as bytes,
and patterns of outputs.
Read and ignored, as they change nothing in what the job does: annotations and remote logging, wishes on the machine
that a broker would choose by (operating system, platform, disk space, node access), and an output's ``Mandatory`` and
``UseIf…``. An input's ``IsExecutable`` is refused where it would not be so: one that is sent is if it is so here.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from jasmin_arc._support.xml import add, all_of, check, is_true, number_of, only, parse, text_of, to_text
from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats import portable
from jasmin_arc.description.formats.draft import Draft, optional_duration, software_name
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME, STDIN_NAME
from jasmin_arc.exceptions import InvalidJobDescription

ADL = "{http://www.eu-emi.eu/es/2010/12/adl}"
NORDUGRID = "{http://www.nordugrid.org/es/2011/12/nordugrid-adl}"
ANNOTATION_PREFIX = "jasmin_arc:"
"""What the annotation with the token of a submission starts with"""
DESCRIPTION_PREFIX = "jasmin_arc_description:"
"""What the annotation with the whole description starts with"""
_MAX_COPY = 64 * 1024


def submission_adl(
    description: JobDescription,
    inputs: Sequence[tuple[str, Path | None]],
    *,
    token: str = "",
    delegation_id: str = "",
) -> str:
    """Describe the job as a compute element gets it: ``/bin/sh`` on the run script.

    :param inputs: every file that the client uploads, as its name in the session directory and where it is here
        (``None``: no source is written, as the client uploads by name)
    :param token: an unguessable word by which the job is found again; it becomes an annotation
    :param delegation_id: the delegated credentials, which A-REX demands as soon as it transfers a file itself, and
        for patterns of outputs
    :raises InvalidJobDescription: if a name has a character that XML cannot carry, or there are an account or raw
        options, which A-REX cannot take
    """
    portable.refuse(description, ("account", "native"), "A-REX")
    root = _root()
    identification = add(root, ADL + "ActivityIdentification")
    add(identification, ADL + "Name", description.name, field="name")
    if token:
        add(identification, ADL + "Annotation", ANNOTATION_PREFIX + token)
        _add_copy(identification, description)
    application = add(root, ADL + "Application")
    _add_executable(application, ("/bin/sh", RUN_SCRIPT_NAME))
    _add_streams(application, description)
    _add_resources(root, description)
    staging = add(root, ADL + "DataStaging")
    if delegation_id:
        add(staging, NORDUGRID + "DelegationID", delegation_id)
    for name, path in inputs:
        uri = "" if path is None else f"file://{path.absolute()}"
        _add_input(staging, portable.input_name(name), uri)
    for name, url in description.url_inputs.items():
        _add_input(staging, portable.input_name(name), url, delegation_id)
    for name, target in portable.stored_outputs(description):
        _add_output(staging, name, target, delegation_id)
    if description.patterns:
        _add_output(staging, "@" + OUTPUT_LIST_NAME)
    return to_text(root, ADL)


def submitted_description(text: str) -> JobDescription:
    """Read back what :func:`submission_adl` wrote, or what another client of ARC did.

    :raises InvalidJobDescription: if it is not ADL, or asks for something that is not supported here
    """
    root = parse(text, _wrong, root=ADL + "ActivityDescription")
    for annotation in root.iterfind(f"{ADL}ActivityIdentification/{ADL}Annotation"):
        prefix, _, copy = (annotation.text or "").strip().partition(":")
        if prefix + ":" == DESCRIPTION_PREFIX:
            try:
                return JobDescription.from_json(base64.b64decode(copy, validate=True).decode())
            except ValueError as error:
                raise InvalidJobDescription(f"the copy of the description is damaged: {error}") from error
    return from_adl(text)


def _wrong(reason: str) -> InvalidJobDescription:
    return InvalidJobDescription(f"ADL: {reason}")


def _add_copy(identification: ElementTree.Element, description: JobDescription) -> None:
    # What the server makes of the description does not tell what the run script does.
    copy = base64.b64encode(description.to_json().encode()).decode()
    if len(copy) <= _MAX_COPY:
        add(identification, ADL + "Annotation", DESCRIPTION_PREFIX + copy)


def to_adl(description: JobDescription) -> str:
    """See :meth:`jasmin_arc.description.JobDescription.to_adl`."""
    portable.refuse(description, ("account", "native"), "ADL")
    root = _root()
    add(add(root, ADL + "ActivityIdentification"), ADL + "Name", description.name, field="name")
    application = add(root, ADL + "Application")
    _add_executable(application, portable.command(description, "ADL"))
    if description.stdin is not None:
        add(application, ADL + "Input", STDIN_NAME)
    _add_streams(application, description)
    for name, value in description.environment.items():
        variable = add(application, ADL + "Environment")
        add(variable, ADL + "Name", name, field="environment")
        add(variable, ADL + "Value", value, field=f"environment: {name}")
    _add_resources(root, description)
    staging = add(root, ADL + "DataStaging")
    executables = portable.executables(description)
    for name, source in portable.inputs(description, "ADL"):
        _add_input(staging, name, source, executable=name in executables)
    for name, target in portable.outputs(description, "ADL"):
        _add_output(staging, name, target)
    return to_text(root, ADL)


def from_adl(text: str) -> JobDescription:
    """See :meth:`jasmin_arc.description.JobDescription.from_adl`."""
    root = parse(text, _wrong, root=ADL + "ActivityDescription")
    check(root, ("ActivityIdentification", "Application", "Resources", "DataStaging"))
    draft = Draft()
    identification = only(root, "ActivityIdentification")
    check(identification, ("Name",), ("Description", "Type", "Annotation", "ActivityOldID"))
    draft.name = text_of(identification, "Name")
    _read_application(draft, only(root, "Application"))
    _read_resources(draft, only(root, "Resources"))
    _read_staging(draft, only(root, "DataStaging"))
    # ARC's clients name the folder of the site's own logs among the outputs.
    (draft.outputs or {}).pop(text_of(only(root, "Application"), "LoggingDirectory"), None)
    return draft.build()


def _root() -> ElementTree.Element:
    ElementTree.register_namespace("nordugrid-adl", NORDUGRID.strip("{}"))
    return ElementTree.Element(ADL + "ActivityDescription")


def _add_executable(application: ElementTree.Element, command: Sequence[str]) -> None:
    executable = add(application, ADL + "Executable")
    add(executable, ADL + "Path", command[0], field="executable")
    for argument in command[1:]:
        add(executable, ADL + "Argument", argument, field="arguments")


def _add_streams(application: ElementTree.Element, description: JobDescription) -> None:
    add(application, ADL + "Output", STDOUT_NAME)
    add(application, ADL + "Error", STDERR_NAME)
    if description.rerun:
        add(application, NORDUGRID + "Rerun", str(description.rerun))


def _add_resources(root: ElementTree.Element, description: JobDescription) -> None:
    resources = add(root, ADL + "Resources")
    for name in description.runtime_environments:
        add(add(resources, ADL + "RuntimeEnvironment"), ADL + "Name", name, field="runtime_environments")
    if description.memory is not None:
        add(resources, ADL + "IndividualPhysicalMemory", str(description.memory))
    for name, period in (("TotalCPUTime", description.cpu_time), ("WallTime", description.wall_time)):
        if period is not None:
            add(resources, ADL + name, str(int(period.total_seconds())))
    if description.slots != 1 or description.slots_per_host is not None:
        slots = add(resources, ADL + "SlotRequirement")
        add(slots, ADL + "NumberOfSlots", str(description.slots))
        if description.slots_per_host is not None:
            add(slots, ADL + "SlotsPerHost", str(description.slots_per_host))
    if description.queue is not None:
        add(resources, ADL + "QueueName", description.queue, field="queue")


def _add_input(
    staging: ElementTree.Element, name: str, source: str, delegation_id: str = "", *, executable: bool = False
) -> None:
    element = add(staging, ADL + "InputFile")
    add(element, ADL + "Name", name, field="inputs")
    if source:
        origin = add(element, ADL + "Source")
        add(origin, ADL + "URI", source, field="inputs")
        if delegation_id:
            add(origin, ADL + "DelegationID", delegation_id)
    if executable:
        add(element, ADL + "IsExecutable", "true")


def _add_output(staging: ElementTree.Element, name: str, target: str | None = None, delegation_id: str = "") -> None:
    element = add(staging, ADL + "OutputFile")
    add(element, ADL + "Name", name, field="outputs")
    if target is not None:
        destination = add(element, ADL + "Target")
        add(destination, ADL + "URI", target, field="outputs")
        if delegation_id:
            add(destination, ADL + "DelegationID", delegation_id)


def _read_application(draft: Draft, application: ElementTree.Element | None) -> None:
    known = ("Executable", "Input", "Output", "Error", "Environment", "Rerun")
    check(application, known, ("RemoteLogging", "LoggingDirectory"))
    executable = only(application, "Executable")
    check(executable, ("Path", "Argument", "FailIfExitCodeNotEqualTo"))
    if number_of(executable, "FailIfExitCodeNotEqualTo"):
        raise InvalidJobDescription("FailIfExitCodeNotEqualTo: 0 is the only exit code of success")
    draft.executable = text_of(executable, "Path")
    draft.arguments = [element.text or "" for element in all_of(executable, "Argument")]
    draft.stdin = text_of(application, "Input")
    draft.stdout = text_of(application, "Output")
    draft.stderr = text_of(application, "Error")
    draft.rerun = number_of(application, "Rerun")
    for variable in all_of(application, "Environment"):
        check(variable, ("Name", "Value"))
        draft.environment[text_of(variable, "Name")] = text_of(variable, "Value")


def _read_resources(draft: Draft, resources: ElementTree.Element | None) -> None:
    needs = ("IndividualPhysicalMemory", "TotalCPUTime", "WallTime")
    ignored = ("OperatingSystem", "Platform", "DiskSpaceRequirement", "NodeAccess")
    check(resources, ("RuntimeEnvironment", "SlotRequirement", "QueueName", *needs), ignored)
    for environment in all_of(resources, "RuntimeEnvironment"):
        draft.runtime_environments.append(software_name(environment))
    draft.queue = text_of(resources, "QueueName")
    draft.memory = number_of(resources, "IndividualPhysicalMemory")
    draft.cpu_time = optional_duration(number_of(resources, "TotalCPUTime"))
    draft.wall_time = optional_duration(number_of(resources, "WallTime"))
    _read_slots(draft, only(resources, "SlotRequirement"))


def _read_slots(draft: Draft, slots: ElementTree.Element | None) -> None:
    check(slots, ("NumberOfSlots", "SlotsPerHost", "ExclusiveExecution"))
    if is_true(slots, "ExclusiveExecution"):
        raise InvalidJobDescription("ExclusiveExecution is not supported; ask for as many slots as a host has")
    draft.slots = number_of(slots, "NumberOfSlots")
    per_host = only(slots, "SlotsPerHost")
    use_all = per_host is not None and per_host.get("useNumberOfSlots") in ("true", "1")
    draft.slots_per_host = draft.slots if use_all else number_of(slots, "SlotsPerHost")


def _read_staging(draft: Draft, staging: ElementTree.Element | None) -> None:
    check(staging, ("InputFile", "OutputFile", "ClientDataPush"), ("DelegationID",))
    if is_true(staging, "ClientDataPush"):
        raise InvalidJobDescription("ClientDataPush is not supported; name each input")
    for element in all_of(staging, "InputFile"):
        check(element, ("Name", "Source", "IsExecutable"))
        source = only(element, "Source")
        check(source, ("URI",), ("DelegationID",))
        name = text_of(element, "Name")
        draft.add_input(name, text_of(source, "URI"))
        if is_true(element, "IsExecutable"):
            draft.executables[name] = "IsExecutable"
    for element in all_of(staging, "OutputFile"):
        check(element, ("Name", "Target"))
        target = only(element, "Target")
        check(target, ("URI",), ("DelegationID", "Mandatory", "UseIfFailure", "UseIfCancel", "UseIfSuccess"))
        draft.add_output(text_of(element, "Name"), text_of(target, "URI"))
