"""Reads descriptions and submits one job through the bindings, and finds out what became of it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.translate import REST_INTERFACE
from jasmin_arc.description.formats.adl import to_adl
from jasmin_arc.description.formats.jsdl import from_jsdl
from jasmin_arc.exceptions import (
    Advice,
    InputFileError,
    InvalidJobDescription,
    JasminArcError,
    JobSubmissionError,
    NoTargetsAvailableError,
    SubmissionUnknownError,
)
from jasmin_arc.staging.inputs import StagedInput

_JSDL = re.compile(r"<(?:[\w.-]+:)?JobDefinition[\s>]")
_REJECTED = re.compile(r"Failed to submit all jobs: \d{3} (.*)")
# The delegation comes before the job, which is not sent without it.
_NOT_DELEGATED = re.compile(r"Unable to submit jobs?\. Failed to (delegate|assign)")
_NO_LOCAL_FILE = re.compile(r"Cannot find local input file '[^']*' \((.*)\)")


class NotSentError(JobSubmissionError):
    """The library sent no job; why, it hardly says."""


@contextmanager
def staged(inputs: Sequence[StagedInput]) -> Iterator[list[tuple[str, Path]]]:
    """Put the inputs side by side under plain names, which need no quoting in a URL, in a private folder that vanishes
    afterwards. Of each, its name in the session directory and its path here are returned.
    """
    folder = Path(tempfile.mkdtemp(prefix="jasmin_arc_"))
    try:
        try:
            placed = [(entry.name, _place(entry, folder / str(number))) for number, entry in enumerate(inputs)]
        except OSError as error:
            raise InputFileError(f"the inputs cannot be put into {folder}: {error.strerror}") from error
        yield placed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(entry: StagedInput, place: Path) -> Path:
    if isinstance(entry.source, bytes):
        place.write_bytes(entry.source)
    else:
        place.symlink_to(Path(os.path.abspath(entry.source)))  # noqa: PTH100 - a link at the end is followed all the same
    return place


def without_jsdl(text: str) -> str:
    """Return the text itself, or as ADL if it is JSDL, which ARC 6 and later do not parse."""
    if not isinstance(text, str) or "\0" in text:
        raise InvalidJobDescription(f"a job description must be a text in xRSL, ADL or JSDL, not {text!r:.80}")
    return to_adl(from_jsdl(text)) if _JSDL.search(text) else text


def parse(arc: Any, text: str) -> tuple[Any, str]:
    """Parse xRSL or ADL into an ``arc.JobDescriptionList``, which is empty if that failed, and then why."""
    found = arc.JobDescriptionList()
    result = arc.JobDescription.Parse(text, found)
    return (found, "") if result else (arc.JobDescriptionList(), str(result.str()))


def send(arc: Any, user_config: Any, endpoint: str, text: str) -> str:
    """Submit one job in ADL and upload its inputs; return its id, or an empty text: the log tells what happened."""
    # One job at a time: several in one call are broken in ARC 6.14 to 7.0.0.
    descriptions, why = parse(arc, text)
    if len(descriptions) != 1:
        raise InvalidJobDescription(f"the ARC bindings do not accept the description made of this job: {why}")
    job = arc.Job()
    # To the endpoint, not to a target of the discovery: that would also set a queue that nobody asked for.
    destination = arc.Endpoint(endpoint, arc.Endpoint.JOBSUBMIT, REST_INTERFACE)
    status = arc.Submitter(user_config).Submit(destination, descriptions[0], job)
    return str(job.JobID) if status else ""


def forgotten_job(lines: Sequence[LogLine], endpoint: str, inputs: Sequence[tuple[str, Path]]) -> str | None:
    """Find the id of a job that was created and whose upload failed: the library forgets it, but logs the uploads."""
    source = rf"{re.escape(str(inputs[0][1].parent))}/\d+"
    upload = re.compile(
        rf"(?:Real t|T)ransfer from file:(?://)?{source} to ({re.escape(endpoint)}/rest/1\.\d+/jobs/[\w.-]+)/session/"
    )
    return next((match[1] for line in lines if (match := upload.match(line.text))), None)


def upload_failure(lines: Sequence[LogLine], inputs: Sequence[tuple[str, Path]]) -> str:
    """Say which input was not uploaded, and why."""
    failed = re.compile(rf"Failed uploading file \S*{re.escape(str(inputs[0][1].parent))}/(\d+) to ")
    for line in lines:
        match = failed.match(line.text)
        if match and int(match[1]) < len(inputs):
            name = inputs[int(match[1])][0]
            why = line.text.partition(f"/session/{name}: ")[2]
            return f"its input {name!r} could not be uploaded: {why or line.text}"
    return f"its inputs could not be uploaded: {reasons(lines) or 'the ARC bindings gave no reason'}"


def refusal(lines: Sequence[LogLine], name: str, endpoint: str, *, queues: Sequence[str] = ()) -> JasminArcError:
    """Translate a submission without a job: rejected, never sent, or nobody knows."""
    texts = [line.text for line in lines]
    why = reasons(lines) or "the ARC bindings gave no reason"
    missing = next(filter(None, map(_NO_LOCAL_FILE.match, texts)), None)
    if missing:
        return InputFileError(f"job {name!r} was not submitted: its input {missing[1]!r} is gone or cannot be read")
    rejected = next(filter(None, map(_REJECTED.match, texts)), None)
    if rejected:
        known = f" (its queues: {', '.join(queues)})" if "queue" in rejected[1].lower() and queues else ""
        return JobSubmissionError(f"{endpoint} rejected job {name!r}: {rejected[1]}{known}")
    if any(text.startswith("Failed to submit all jobs") for text in texts) and not any(
        map(_NOT_DELEGATED.match, texts)
    ):
        return SubmissionUnknownError(
            f"{endpoint} did not answer whether it took job {name!r} ({why}); it is not sent again",
            advice=Advice("{recover} looks for it"),
        )
    if any(text.startswith("Failed to establish connection") for text in texts):
        return NoTargetsAvailableError(f"{endpoint} cannot be reached, job {name!r} was not submitted: {why}")
    return NotSentError(f"job {name!r} was not submitted to {endpoint}: {why}")
