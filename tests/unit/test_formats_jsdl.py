"""JSDL as it was documented in 2017."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jasmin_arc import InvalidJobDescription, JobDescription
from jasmin_arc.description.formats.jsdl import from_jsdl

HEAD = (
    '<jsdl:JobDefinition xmlns:jsdl="http://schemas.ggf.org/jsdl/2005/11/jsdl"'
    ' xmlns:posix="http://schemas.ggf.org/jsdl/2005/11/jsdl-posix"><jsdl:JobDescription>'
)
TAIL = "</jsdl:JobDescription></jsdl:JobDefinition>"


def document(posix: str = "<posix:Executable>/bin/x</posix:Executable>", rest: str = "") -> str:
    program = f"<posix:POSIXApplication>{posix}</posix:POSIXApplication>"
    return f"{HEAD}<jsdl:Application>{program}</jsdl:Application>{rest}{TAIL}"


def test_the_posix_subset() -> None:
    text = document(
        "<posix:Executable>/bin/echo</posix:Executable><posix:Argument> a </posix:Argument><posix:Argument/>"
        "<posix:Input>in</posix:Input><posix:Output>out.log</posix:Output>"
        '<posix:Environment name="A">1</posix:Environment>'
        "<posix:WallTimeLimit>60</posix:WallTimeLimit><posix:MemoryLimit>1048576</posix:MemoryLimit>"
        "<posix:CPUTimeLimit>30</posix:CPUTimeLimit>",
        "<jsdl:JobIdentification><jsdl:JobName>mean</jsdl:JobName><jsdl:JobProject>gws1</jsdl:JobProject>"
        "</jsdl:JobIdentification>"
        "<jsdl:Resources><jsdl:TotalCPUCount><jsdl:Exact>4.0</jsdl:Exact></jsdl:TotalCPUCount>"
        "<jsdl:IndividualPhysicalMemory><jsdl:LowerBoundedRange>2097152</jsdl:LowerBoundedRange>"
        "</jsdl:IndividualPhysicalMemory><CandidateTarget><QueueName>short</QueueName></CandidateTarget>"
        "<RunTimeEnvironment><Software><Name>ENV/PROXY</Name></Software></RunTimeEnvironment></jsdl:Resources>"
        "<jsdl:DataStaging><jsdl:FileName>f</jsdl:FileName><jsdl:CreationFlag>overwrite</jsdl:CreationFlag>"
        "<jsdl:Source><jsdl:URI>https://h/f</jsdl:URI></jsdl:Source></jsdl:DataStaging>"
        "<jsdl:DataStaging><jsdl:FileName>in</jsdl:FileName><jsdl:Source/></jsdl:DataStaging>"
        "<jsdl:DataStaging><jsdl:FileName>out.log</jsdl:FileName>"
        "<jsdl:DeleteOnTermination>false</jsdl:DeleteOnTermination></jsdl:DataStaging>"
        "<jsdl:DataStaging><jsdl:FileName>r</jsdl:FileName>"
        "<jsdl:Target><jsdl:URI>https://h/r</jsdl:URI></jsdl:Target></jsdl:DataStaging>",
    )
    assert from_jsdl(text) == JobDescription(
        executable="/bin/echo",
        arguments=[" a ", ""],
        name="mean",
        inputs={"f": "https://h/f", "in": "in"},
        outputs={"r": "https://h/r"},
        environment={"A": "1"},
        queue="short",
        slots=4,
        memory=2 * 1024**2,
        wall_time=timedelta(seconds=60),
        cpu_time=timedelta(seconds=30),
        runtime_environments=["ENV/PROXY"],
        stdin="in",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<a/>", "root must be"),
        (HEAD + TAIL, "executable"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + document(), "not allowed"),
        (document("<posix:WorkingDirectory>/</posix:WorkingDirectory>"), "POSIXApplication/WorkingDirectory"),
        (document(rest="<jsdl:Resources><jsdl:CandidateHosts/></jsdl:Resources>"), "Resources/CandidateHosts"),
        (
            document(rest="<jsdl:Resources><jsdl:TotalCPUCount><jsdl:Exact/></jsdl:TotalCPUCount></jsdl:Resources>"),
            "TotalCPUCount: holds no number",
        ),
    ],
)
def test_what_is_not_supported_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidJobDescription, match=message):
        from_jsdl(text)


def test_an_input_that_would_not_be_executable_is_refused() -> None:
    file = "<jsdl:DataStaging><jsdl:FileName>f</jsdl:FileName><jsdl:Source/>{}</jsdl:DataStaging>"
    text = document(rest=file.format("<IsExecutable>true</IsExecutable>"))
    with pytest.raises(InvalidJobDescription, match="IsExecutable: 'f'"):
        from_jsdl(text)
    assert from_jsdl(text.replace("/bin/x", "f")).executable == "f"
