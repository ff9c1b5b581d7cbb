from __future__ import annotations

import contextlib
from datetime import datetime, timedelta, timezone
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc.backends.rest.documents import JobAnswer, is_native_id, job_answers, listing, read_xml, versions
from jasmin_arc.backends.rest.glue2 import general_state, job_info, parse_time, site_info, stream_names
from jasmin_arc.exceptions import OutputError, ServerError
from jasmin_arc.job_info import RemoteFile
from jasmin_arc.site_info import QueueInfo

BILLION_LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<jobs><job><id>&c;</id></job></jobs>"""
EXTERNAL = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><versions><version>&b;</version></versions>'


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"   ",
        b"{}",
        b"<jobs>",
        b"<jobs></job>",
        b"<jobs/><jobs/>",
        b"\xff\xfe<jobs/>",
        b'<?xml version="1.0" encoding="nonsense"?><jobs/>',
        b"<!DOCTYPE jobs><jobs/>",
        BILLION_LAUGHS,
        EXTERNAL,
        b"<a>" * 100 + b"</a>" * 100,
    ],
)
def test_documents_that_are_broken_or_built_to_do_harm(document: bytes) -> None:
    with pytest.raises(ServerError, match="XML"):
        read_xml(document)


@given(st.binary(max_size=200) | st.text("<>/&;!?[]jobid=\"'x ", max_size=100).map(str.encode))
def test_whatever_comes_is_read_or_refused(document: bytes) -> None:
    for read in (job_answers, versions, lambda text: listing(text, "")):
        with contextlib.suppress(ServerError, OutputError):
            read(document)


def test_versions() -> None:
    assert versions(b"<versions><version>1.0</version><version> 1.1 </version></versions>") == ["1.0", "1.1"]


def test_answers_to_a_bulk_request() -> None:
    document = b"""<jobs>
      <job><status-code>201</status-code><reason>Created</reason><id>abc</id><state>ACCEPTING</state></job>
      <job><status-code>500</status-code><reason>no\x7f\nqueue</reason></job>
      <job><status-code>200</status-code><id>d</id><delegation_id>e1</delegation_id><delegation_id>e2</delegation_id></job>
    </jobs>"""
    assert job_answers(document) == [
        JobAnswer("abc", 201, "Created", "ACCEPTING"),
        JobAnswer("", 500, "no  queue"),
        JobAnswer("d", 200, delegations=("e1", "e2")),
    ]
    assert [answer.done for answer in job_answers(document)] == [True, False, True]


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "..", ".hidden", "a?b", "a b", "a\nb", "x" * 300, "é"])
def test_job_ids_become_parts_of_urls_so_they_must_be_plain(name: str) -> None:
    assert not is_native_id(name)
    document = f"<jobs><job><status-code>201</status-code><id>{escape(name)}</id></job></jobs>".encode()
    assert [answer.native_id for answer in job_answers(document)] == [""]


@pytest.mark.parametrize("code", ["", "-1", "2e2", "99999999999999999999", "²", "abc"])
def test_codes_that_are_none(code: str) -> None:
    (answer,) = job_answers(f"<jobs><job><status-code>{code}</status-code></job></jobs>".encode())
    assert (answer.code, answer.done) == (0, False)


def test_a_listing_has_names_and_sizes() -> None:
    document = b'<list><file size="3">a&amp;b &lt;c</file><file>d</file><dir>sub</dir><other>x</other></list>'
    assert listing(document, "top/in") == [
        RemoteFile("top/in/a&b <c", 3),
        RemoteFile("top/in/d", None),
        RemoteFile("top/in/sub", None, is_dir=True),
    ]


@pytest.mark.parametrize("name", ["..", ".", "", "../../x", "/etc/passwd", "a/../../b", "sub/file"])
@pytest.mark.parametrize("kind", ["file", "dir"])
def test_names_that_would_lead_out_of_the_directory(name: str, kind: str) -> None:
    with pytest.raises(OutputError, match="impossible name"):
        listing(f"<list><{kind}>{name}</{kind}></list>".encode(), "output")


@pytest.mark.parametrize("size", ["-1", "1e9", "9" * 40, "abc", "²"])
def test_sizes_that_are_none(size: str) -> None:
    assert listing(f'<list><file size="{size}">a</file></list>'.encode(), "") == [RemoteFile("a", None)]


ACTIVITY = """<ComputingActivity xmlns="http://schemas.ogf.org/glue/2009/03/spec_2.0_r1">
  <Name>single</Name><State>nordugrid:FAILED::INLRMS</State><State>arcrest:FAILED</State>
  <RestartState>arcrest:OTHER</RestartState><ExitCode>3</ExitCode><Error>LRMS error: (3) Job failed</Error>
  <RequestedSlots>4</RequestedSlots><ExecutionNode>node1</ExecutionNode><ExecutionNode>node2</ExecutionNode>
  <Queue>short</Queue><UsedTotalWallTime>400</UsedTotalWallTime><UsedTotalCPUTime>130</UsedTotalCPUTime>
  <UsedMainMemory>64</UsedMainMemory><SubmissionTime>2026-11-20T08:17:44Z</SubmissionTime>
  <StartTime>2026-11-20T08:18:01Z</StartTime><ComputingManagerEndTime>2026-11-20T08:19:41Z</ComputingManagerEndTime>
  <WorkingAreaEraseTime>2026-11-21T08:18:02Z</WorkingAreaEraseTime>
  <ProxyExpirationTime>2026-11-21T08:17:23Z</ProxyExpirationTime></ComputingActivity>"""


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)  # type: ignore[misc,arg-type]


def test_all_that_is_published_of_a_job() -> None:
    info = job_info(read_xml(ACTIVITY.encode()), "x")
    assert (info.native_id, info.state, info.native_state, info.name) == ("x", "Failed", "FAILED", "single")
    assert (info.exit_code, info.queue, info.slots) == (3, "short", 4)
    assert (info.nodes, info.errors) == (("node1", "node2"), ("LRMS error: (3) Job failed",))
    assert (info.submitted, info.started) == (utc(2026, 11, 20, 8, 17, 44), utc(2026, 11, 20, 8, 18, 1))
    assert info.ended == utc(2026, 11, 20, 8, 19, 41)
    assert (info.session_expires, info.proxy_expires) == (utc(2026, 11, 21, 8, 18, 2), utc(2026, 11, 21, 8, 17, 23))
    assert info.memory == 64 * 1024**2
    assert info.cpu_time == timedelta(seconds=130)


def test_a_job_without_credentials_has_none_that_end() -> None:
    """Of such a job, the server tells the time of its submission."""
    for told in ("2026-11-20T08:17:44Z", "2026-11-20T08:17:46Z", "1970-01-01T00:00:00Z"):
        document = ACTIVITY.replace("2026-11-21T08:17:23Z", told)
        assert job_info(read_xml(document.encode())).proxy_expires is None


def test_the_wall_time_is_that_of_one_slot() -> None:
    assert job_info(read_xml(ACTIVITY.encode())).wall_time == timedelta(seconds=100)


def test_a_document_that_says_nothing() -> None:
    info = job_info(read_xml(b"<ComputingActivity/>"))
    assert (info.state, info.exit_code, info.wall_time, info.started, info.errors) == (
        "Undefined",
        None,
        None,
        None,
        (),
    )


@pytest.mark.parametrize(
    ("told", "names"),
    [
        ("<StdOut>out.txt</StdOut><StdErr>./logs//err</StdErr>", {"stdout": "out.txt", "stderr": "logs/err"}),
        ("<StdOut>both</StdOut><StdErr>both</StdErr>", {"stdout": "both", "stderr": "both"}),
        ("<StdOut>/dev/null</StdOut>", {}),
        ("<StdOut>../other/stdout</StdOut><StdErr>a/../../b</StdErr>", {}),
        ("<StdOut>a\nb</StdOut><StdErr>.</StdErr>", {}),
    ],
)
def test_the_files_of_standard_output_and_error_are_in_the_session_directory(told: str, names: dict[str, str]) -> None:
    assert stream_names(read_xml(f"<ComputingActivity>{told}</ComputingActivity>".encode())) == names


@pytest.mark.parametrize(
    ("native", "general"),
    [("QUEUING", "Queuing"), ("EXITINGLRMS", "Running"), ("WIPED", "Deleted"), ("", "Undefined"), ("NEW", "Other")],
)
def test_general_states(native: str, general: str) -> None:
    assert general_state(native) == general


@given(st.text(max_size=30))
def test_times_are_read_or_none(text: str) -> None:
    read = parse_time(text)
    assert read is None or read.tzinfo is timezone.utc


@given(st.text("0123456789-+.e \u00b2", max_size=40), st.text("0123456789-", max_size=12))
def test_numbers_are_sane_or_none(number: str, slots: str) -> None:
    document = (
        f"<C><ExitCode>{number}</ExitCode><UsedTotalWallTime>{number}</UsedTotalWallTime>"
        f"<RequestedSlots>{slots}</RequestedSlots><UsedMainMemory>{number}</UsedMainMemory></C>"
    )
    info = job_info(read_xml(document.encode()))
    assert info.wall_time is None or info.wall_time >= timedelta(0)
    assert info.exit_code is None or abs(info.exit_code) < 10**16


SITE = b"""<InfoRoot><Domains xmlns="urn:x"><AdminDomain><Services><ComputingService><Name>lab</Name>
  <ComputingEndpoint><InterfaceName>org.nordugrid.arcrest</InterfaceName><HealthState>ok</HealthState></ComputingEndpoint>
  <ComputingShare><Name>short</Name><MappingQueue>short</MappingQueue><MaxWallTime>3600</MaxWallTime>
    <MaxCPUTime>2147483647</MaxCPUTime><MaxSlotsPerJob>16</MaxSlotsPerJob><MaxVirtualMemory>2048</MaxVirtualMemory>
    <RunningJobs>3</RunningJobs><WaitingJobs>0</WaitingJobs><FreeSlots>61</FreeSlots></ComputingShare>
  <ComputingManager><TotalSlots>64</TotalSlots><ApplicationEnvironments>
    <ApplicationEnvironment><AppName>ENV/PROXY</AppName></ApplicationEnvironment>
    <ApplicationEnvironment><AppName>PYTHON</AppName><AppVersion>3.11</AppVersion></ApplicationEnvironment>
  </ApplicationEnvironments></ComputingManager>
</ComputingService></Services></AdminDomain></Domains></InfoRoot>"""


def test_all_that_is_published_of_a_site() -> None:
    site = site_info("https://ce/arex", SITE)
    assert (site.name, site.healthy, site.interfaces) == ("lab", True, ("org.nordugrid.arcrest",))
    assert site.runtime_environments == ("ENV/PROXY", "PYTHON-3.11")
    assert site.queues == (
        QueueInfo(
            name="short",
            max_wall_time=timedelta(hours=1),
            max_cpu_time=None,
            max_slots=16,
            max_memory=2048 * 1024**2,
            total_slots=64,
            free_slots=61,
            running=3,
            waiting=0,
        ),
    )


def test_a_site_that_says_it_is_ill() -> None:
    assert not site_info("", SITE.replace(b">ok<", b">critical<")).healthy


def test_a_site_that_publishes_nothing() -> None:
    assert site_info("https://ce/arex", b"<InfoRoot/>").queues == ()
