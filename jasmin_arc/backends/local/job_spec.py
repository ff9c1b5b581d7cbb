"""From a job description to what the runner needs to know, or to the reason why the job cannot run here."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jasmin_arc.backends.local.fetch import SCHEMES, is_valid, shown
from jasmin_arc.description import JobDescription, is_pattern
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME
from jasmin_arc.exceptions import JobSubmissionError

QUEUE = "local"
"""The one queue that there is"""
_INHERITED = ("HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""What a job has of the environment of the process that submits it, beside the ``LC_`` variables"""


def refuse_impossible(description: JobDescription, slots: int) -> None:
    """Refuse what cannot run on this machine.

    :param slots: how many slots there are
    :raises JobSubmissionError: with the reason, and what is possible
    :raises InvalidJobDescription: if there are raw options of another backend
    """
    description.native_options()
    reason = _impossible_need(description, slots) or _impossible_file(description)
    if reason:
        raise JobSubmissionError(f"the local backend cannot run the job {description.name!r}: {reason}")


def _impossible_need(description: JobDescription, slots: int) -> str:
    if description.queue not in (None, QUEUE):
        return f"there is no queue {description.queue!r}; the only one is {QUEUE!r}"
    if description.slots > slots:
        return f"it asks for {description.slots} slots and there are {slots}; LOCAL_SLOTS sets their number"
    if description.slots_per_host not in (None, description.slots):
        return f"all its {description.slots} slots are on one host, so slots_per_host cannot be less"
    if description.account is not None:
        return f"there are no accounts here that it could be charged to, so not {description.account!r}"
    if description.runtime_environments:
        return f"there are no runtime environments here, so not {', '.join(description.runtime_environments)}"
    return ""


def _impossible_file(description: JobDescription) -> str:
    for name, source in description.inputs.items():
        reason = _impossible_url(source) if isinstance(source, str) else ""
        if reason:
            return f"the input {name!r} cannot be fetched from {shown(str(source))}; {reason}"
    for name, target in (description.outputs or {}).items():
        if target is not None:
            return f"the output {name!r} cannot be sent to {shown(target)}; outputs can only be kept for download"
    return ""


def _impossible_url(url: str) -> str:
    if url.partition("://")[0].lower() not in SCHEMES:
        return "possible are " + ", ".join(f"{scheme}://" for scheme in SCHEMES)
    return "" if is_valid(url) else "that is no valid URL"


def make_spec(description: JobDescription, job_id: str, *, recorded: str) -> dict[str, Any]:
    """What the runner, the supervisor and the helper for URL inputs need to know, as JSON can hold it.

    :param recorded: the description as the job list has it, without the contents of inputs
    """
    return {
        "environment": job_environment(os.environ, job_id),
        "outputs": [name for name in description.outputs or {} if not is_pattern(name)],
        "output_list": OUTPUT_LIST_NAME if description.patterns else "",
        "urls": description.url_inputs,
        "description": recorded,
        "wall_time": None if description.wall_time is None else description.wall_time.total_seconds(),
    }


def job_environment(environ: Mapping[str, str], job_id: str) -> dict[str, str]:
    """What a job finds in its environment beside the variables of its description: little, as on a compute element."""
    kept = {name: value for name, value in environ.items() if name in _INHERITED or name.startswith("LC_")}
    kept.setdefault("HOME", str(Path.home()))
    kept.setdefault("PATH", os.defpath)
    name = _user_name()
    return {"USER": name, "LOGNAME": name, **kept, "JASMIN_ARC_JOB_ID": job_id}


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
