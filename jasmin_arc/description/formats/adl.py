"""ADL, the XML in which jobs are described to a compute element: what is sent there, and the user's own view.

The user's view holds all fields but ``steps``, ``stop_on_failure``, ``account``, ``native``, contents given as bytes,
and patterns of outputs. Read and ignored is what changes nothing in what the job does. An input's ``IsExecutable`` is
refused where it would not be so: a file that is sent is executable there if it is so here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from jasmin_arc._support.xml import add, all_of, check, is_true, number_of, only, parse, text_of, to_text
from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, STDOUT_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats import portable
from jasmin_arc.description.formats.draft import Draft, software_name
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME, STDIN_NAME
from jasmin_arc.exceptions import InvalidJobDescription

ADL = "{http://www.eu-emi.eu/es/2010/12/adl}"
NORDUGRID = "{http://www.nordugrid.org/es/2011/12/nordugrid-adl}"
ANNOTATION_PREFIX = "jasmin_arc:"
"""What the annotation with the token of a submission starts with"""
DESCRIPTION_PREFIX = "jasmin_arc_description:"
"""What the annotation with the whole description starts with"""
_MAX_COPY = 64 * 1024
_INPUT = ("InputFile", "Source", "inputs")
_OUTPUT = ("OutputFile", "Target", "outputs")


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
    """
    portable.refuse(description, ("account", "native"), "A-REX")
    annotations = []
    if token:
        # What the server makes of the description does not tell what the run script does, so a copy goes along.
        copy = base64.b64encode(description.to_json().encode()).decode()
        annotations = [ANNOTATION_PREFIX + token, *([DESCRIPTION_PREFIX + copy] if len(copy) <= _MAX_COPY else [])]
    root, _ = _document(description, ("/bin/sh", RUN_SCRIPT_NAME), annotations=annotations)
    staging = add(root, ADL + "DataStaging")
    if delegation_id:
        add(staging, NORDUGRID + "DelegationID", delegation_id)
    for name, path in inputs:
        _add_file(staging, _INPUT, portable.input_name(name), f"file://{path.absolute()}" if path else None)
    for name, url in description.url_inputs.items():
        _add_file(staging, _INPUT, portable.input_name(name), url, delegation_id)
    for name, target in portable.stored_outputs(description):
        _add_file(staging, _OUTPUT, name, target, delegation_id)
    if description.patterns:
        _add_file(staging, _OUTPUT, "@" + OUTPUT_LIST_NAME, None)
    return to_text(root, ADL)


def submitted_description(text: str) -> JobDescription:
    """Read back what :func:`submission_adl` wrote, or what another client of ARC did."""
    root = _parse(text)
    for annotation in root.iterfind(f"{ADL}ActivityIdentification/{ADL}Annotation"):
        prefix, _, copy = (annotation.text or "").strip().partition(":")
        if prefix + ":" == DESCRIPTION_PREFIX:
            try:
                return JobDescription.from_json(base64.b64decode(copy, validate=True).decode())
            except ValueError as error:
                raise InvalidJobDescription(f"the copy of the description is damaged: {error}") from error
    return from_adl(text)


def _parse(text: str) -> ElementTree.Element:
    return parse(text, lambda reason: InvalidJobDescription(f"ADL: {reason}"), root=ADL + "ActivityDescription")


def to_adl(description: JobDescription) -> str:
    portable.refuse(description, ("account", "native"), "ADL")
    stdin = STDIN_NAME if description.stdin is not None else ""
    root, application = _document(description, portable.command(description, "ADL"), stdin=stdin)
    for name, value in description.environment.items():
        variable = add(application, ADL + "Environment")
        add(variable, ADL + "Name", name, field="environment")
        add(variable, ADL + "Value", value, field=f"environment: {name}")
    staging = add(root, ADL + "DataStaging")
    executables = portable.executables(description)
    for name, source in portable.inputs(description, "ADL"):
        element = _add_file(staging, _INPUT, name, source)
        if name in executables:
            add(element, ADL + "IsExecutable", "true")
    for name, target in portable.outputs(description, "ADL"):
        _add_file(staging, _OUTPUT, name, target)
    return to_text(root, ADL)


def from_adl(text: str) -> JobDescription:
    root = _parse(text)
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


def _document(
    description: JobDescription, command: Sequence[str], *, annotations: Iterable[str] = (), stdin: str = ""
) -> tuple[ElementTree.Element, ElementTree.Element]:
    """What the two views have in common, which is all but files and environment: the root, and the application."""
    ElementTree.register_namespace("nordugrid-adl", NORDUGRID.strip("{}"))
    root = ElementTree.Element(ADL + "ActivityDescription")
    identification = add(root, ADL + "ActivityIdentification")
    add(identification, ADL + "Name", description.name, field="name")
    for annotation in annotations:
        add(identification, ADL + "Annotation", annotation)
    application = add(root, ADL + "Application")
    executable = add(application, ADL + "Executable")
    add(executable, ADL + "Path", command[0], field="executable")
    for argument in command[1:]:
        add(executable, ADL + "Argument", argument, field="arguments")
    if stdin:
        add(application, ADL + "Input", stdin)
    add(application, ADL + "Output", STDOUT_NAME)
    add(application, ADL + "Error", STDERR_NAME)
    if description.rerun:
        add(application, NORDUGRID + "Rerun", str(description.rerun))
    _add_resources(root, description)
    return root, application


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


def _add_file(
    staging: ElementTree.Element, kind: tuple[str, str, str], name: str, url: str | None, delegation_id: str = ""
) -> ElementTree.Element:
    element_name, location_name, field = kind
    element = add(staging, ADL + element_name)
    add(element, ADL + "Name", name, field=field)
    if url:
        location = add(element, ADL + location_name)
        add(location, ADL + "URI", url, field=field)
        if delegation_id:
            add(location, ADL + "DelegationID", delegation_id)
    return element


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
    draft.runtime_environments = [software_name(element) for element in all_of(resources, "RuntimeEnvironment")]
    draft.queue = text_of(resources, "QueueName")
    draft.memory = number_of(resources, "IndividualPhysicalMemory")
    draft.cpu_time = number_of(resources, "TotalCPUTime")
    draft.wall_time = number_of(resources, "WallTime")
    slots = only(resources, "SlotRequirement")
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
