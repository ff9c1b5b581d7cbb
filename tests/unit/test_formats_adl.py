"""ADL: what a compute element is sent, and what is read from users."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from portable_descriptions import portable_descriptions

from jasmin_arc import InvalidJobDescription, JobDescription
from jasmin_arc.description.formats.adl import ADL, NORDUGRID, from_adl, submission_adl, submitted_description, to_adl

HEAD = (
    '<ActivityDescription xmlns="http://www.eu-emi.eu/es/2010/12/adl"'
    ' xmlns:n="http://www.nordugrid.org/es/2011/12/nordugrid-adl">'
)
PROGRAM = "<Application><Executable><Path>/bin/x</Path></Executable></Application>"


def document(*parts: str) -> str:
    return HEAD + "".join(parts) + "</ActivityDescription>"


def sent(job: JobDescription, *inputs: tuple[str, Path | None], **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(submission_adl(job, inputs, **options))  # type: ignore[arg-type]


def texts(root: ElementTree.Element, *path: str) -> list[str | None]:
    return [element.text for element in root.findall("/".join(ADL + name for name in path))]


def test_a_compute_element_runs_the_run_script() -> None:
    root = sent(JobDescription(executable="model", arguments=["a<b"], name="a <&> b"))
    assert texts(root, "Application", "Executable", "Path") == ["/bin/sh"]
    assert texts(root, "Application", "Executable", "Argument") == [".jasmin_arc_run"]
    assert texts(root, "Application", "Output") + texts(root, "Application", "Error") == ["stdout", "stderr"]
    assert texts(root, "ActivityIdentification", "Name") == ["a <&> b"]
    assert texts(root, "ActivityIdentification", "Annotation") == []


def test_inputs_are_declared_with_and_without_their_source() -> None:
    job = JobDescription(executable="x", inputs={"here": "local", "there": "https://h/f"})
    root = sent(job, ("here", Path("/data/a b;1%20")), ("@list", None), delegation_id="D")
    staging = root.find(ADL + "DataStaging")
    assert staging is not None
    assert staging.findtext(NORDUGRID + "DelegationID") == "D"
    # A-REX takes a name that starts with @ for a list of files.
    assert texts(root, "DataStaging", "InputFile", "Name") == ["here", "./@list", "there"]
    assert texts(root, "DataStaging", "InputFile", "Source", "URI") == ["file:///data/a b;1%20", "https://h/f"]
    assert texts(root, "DataStaging", "InputFile", "Source", "DelegationID") == ["D"]
    # A run script makes inputs executable.
    assert texts(root, "DataStaging", "InputFile", "IsExecutable") == []


@pytest.mark.parametrize(("field", "value"), [("account", "gws1"), ("native", {"exclusive": True})])
def test_what_a_compute_element_cannot_take_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidJobDescription, match=f"^{field}: A-REX has no place for it"):
        sent(JobDescription(executable="x", **{field: value}))  # type: ignore[arg-type]


def test_outputs_patterns_become_the_list_that_the_run_script_writes() -> None:
    job = JobDescription(executable="x", outputs={"out": None, "*.nc": None, "sent": "https://h/up"})
    root = sent(job, token="secret")
    assert texts(root, "DataStaging", "OutputFile", "Name") == [
        *("stdout", "stderr", "out", "sent", "@.jasmin_arc_outputs")
    ]
    assert texts(root, "DataStaging", "OutputFile", "Target", "URI") == ["https://h/up"]
    assert texts(root, "ActivityIdentification", "Annotation")[0] == "jasmin_arc:secret"


def test_needs_are_in_the_units_of_the_language() -> None:
    root = sent(
        JobDescription(
            executable="x",
            memory="1 GB",
            wall_time="2h",
            cpu_time=90,
            slots=4,
            slots_per_host=2,
            queue="long",
            runtime_environments=["ENV/PROXY"],
            rerun=3,
        )
    )
    assert texts(root, "Resources", "IndividualPhysicalMemory") == ["1073741824"]
    assert texts(root, "Resources", "WallTime") + texts(root, "Resources", "TotalCPUTime") == ["7200", "90"]
    assert texts(root, "Resources", "SlotRequirement", "NumberOfSlots") == ["4"]
    assert texts(root, "Resources", "SlotRequirement", "SlotsPerHost") == ["2"]
    assert texts(root, "Resources", "QueueName") == ["long"]
    assert texts(root, "Resources", "RuntimeEnvironment", "Name") == ["ENV/PROXY"]
    application = root.find(ADL + "Application")
    assert application is not None
    assert application.findtext(NORDUGRID + "Rerun") == "3"


@pytest.mark.parametrize("name", ["d/a\x07", "d/\udcff"])
def test_names_that_no_xml_can_carry_are_refused_and_named(name: str) -> None:
    with pytest.raises(InvalidJobDescription, match=r"inputs: .* which XML cannot carry"):
        sent(JobDescription(executable="x"), (name, None))


def test_an_output_that_looks_like_a_list_is_refused() -> None:
    with pytest.raises(InvalidJobDescription, match=r"outputs.*@all"):
        sent(JobDescription(executable="x", outputs=["@all"]))


def test_a_description_as_arcsub_takes_it() -> None:
    job = from_adl(
        document(
            "<ActivityIdentification><Name>mean</Name><Annotation>mine</Annotation></ActivityIdentification>",
            "<Application><Executable><Path>run.sh</Path><Argument> a </Argument><Argument/>"
            "<FailIfExitCodeNotEqualTo>0</FailIfExitCodeNotEqualTo></Executable>"
            "<Input>in.txt</Input><Output>log</Output><Error>log.err</Error>"
            "<Environment><Name>A</Name><Value>1</Value></Environment><n:Rerun>2</n:Rerun></Application>",
            "<Resources><SlotRequirement><NumberOfSlots>4</NumberOfSlots>"
            '<SlotsPerHost useNumberOfSlots="true"/></SlotRequirement><WallTime>60</WallTime>'
            "<RuntimeEnvironment><Name>APPS/X</Name><Version>1.2</Version></RuntimeEnvironment></Resources>",
            "<DataStaging><InputFile><Name>f</Name></InputFile>"
            "<InputFile><Name>in.txt</Name><Source><URI>file:///data/in.txt</URI></Source></InputFile>"
            "<OutputFile><Name>log</Name></OutputFile><OutputFile><Name>dir/</Name></OutputFile>"
            "<OutputFile><Name>r</Name><Target><URI>https://h/r</URI><Mandatory>true</Mandatory></Target></OutputFile>"
            "</DataStaging>",
        )
    )
    assert job == JobDescription(
        executable="run.sh",
        arguments=[" a ", ""],
        name="mean",
        inputs={"f": "f", "in.txt": "/data/in.txt", "run.sh": "run.sh"},
        outputs={"dir": None, "r": "https://h/r"},
        environment={"A": "1"},
        slots=4,
        slots_per_host=4,
        wall_time=timedelta(minutes=1),
        runtime_environments=["APPS/X-1.2"],
        stdin="/data/in.txt",
        rerun=2,
    )


def test_the_folder_of_the_sites_logs_is_no_output() -> None:
    program = PROGRAM.replace("</Application>", "<n:LoggingDirectory>gmlog</n:LoggingDirectory></Application>")
    files = "<OutputFile><Name>result</Name></OutputFile><OutputFile><Name>gmlog</Name></OutputFile>"
    assert from_adl(document(program, f"<DataStaging>{files}</DataStaging>")).outputs == {"result": None}
    assert from_adl(document(program)).outputs is None


def test_the_whole_session_directory_can_be_kept() -> None:
    text = document(PROGRAM, "<DataStaging><OutputFile><Name>/</Name></OutputFile></DataStaging>")
    assert from_adl(text).outputs == {"*": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not well-formed"),
        ("<a/>", "root must be"),
        ("<ActivityDescription>" + PROGRAM + "</ActivityDescription>", "root must be"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + document(PROGRAM), "not allowed"),
        (document(), "executable"),
        (
            document(PROGRAM, "<Resources><Coprocessor>CUDA</Coprocessor></Resources>"),
            "Resources/Coprocessor.*QueueName",
        ),
        (document(PROGRAM, "<Resources><WallTime>1h</WallTime></Resources>"), "WallTime: must be a whole number"),
        (document(PROGRAM, "<Resources><WallTime>99999999999999999</WallTime></Resources>"), "wall_time"),
        (document(PROGRAM, "<Resources><QueueName>a</QueueName><QueueName>b</QueueName></Resources>"), "only one"),
        (document(PROGRAM, "<DataStaging><InputFile><Name>../f</Name></InputFile></DataStaging>"), "inputs"),
        (document(PROGRAM, "<DataStaging><InputFile><Name/></InputFile></DataStaging>"), "inputs"),
        (document(PROGRAM, "<DataStaging><OutputFile><Name>@f</Name></OutputFile></DataStaging>"), "outputs.*pattern"),
        (document(PROGRAM, "<DataStaging><ClientDataPush>true</ClientDataPush></DataStaging>"), "ClientDataPush"),
        (document(PROGRAM.replace("<Exec", "<Input>/etc/f</Input><Exec")), "stdin"),
        (document(PROGRAM.replace("</Path>", "</Path><FailIfExitCodeNotEqualTo>3</FailIfExitCodeNotEqualTo>")), "exit"),
        (document(PROGRAM.replace("/bin/x", "$HOME/x")), "variables"),
        (" " * (16 * 1024 * 1024 + 1), "longer than"),
    ],
)
def test_what_is_not_supported_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidJobDescription, match=message):
        from_adl(text)


@given(portable_descriptions())
def test_the_submitted_description_is_read_back_whole(description: JobDescription) -> None:
    text = submission_adl(description, [(".jasmin_arc_run", None)], token="t")
    assert submitted_description(text) == description


def test_steps_and_contents_survive_the_submission() -> None:
    description = JobDescription(steps=[["a", "b\n$c"], ["d"]], inputs={"x": b"\0\xff"}, outputs=["*.nc"], stdin=b"in")
    assert submitted_description(submission_adl(description, [], token="t")) == description


@given(st.text())
def test_a_damaged_copy_is_an_error(copy: str) -> None:
    text = submission_adl(JobDescription(executable="a"), [], token="t")
    damaged = re.sub(r"(jasmin_arc_description:)[^<]*", lambda found: found[1] + escape(copy.replace("\0", "")), text)
    with contextlib.suppress(InvalidJobDescription):
        submitted_description(damaged)


def test_inputs_are_executable_if_they_are_so_here(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(0o755)
    job = JobDescription(executable="/bin/x", inputs=[tmp_path / "tool"])
    assert "IsExecutable" in to_adl(job)
    assert from_adl(to_adl(job)) == job
    (tmp_path / "tool").chmod(0o644)
    text = to_adl(job).replace("</Source>", "</Source><IsExecutable>true</IsExecutable>")
    with pytest.raises(InvalidJobDescription, match=r"IsExecutable: 'tool' .*chmod \+x"):
        from_adl(text)
    assert from_adl(text.replace("/bin/x", "tool")).executable == "tool"
    assert from_adl(text.replace(">true<", ">false<")) == job
