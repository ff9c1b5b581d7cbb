"""From a job description to what the runner needs to know, or to the reason why the job cannot run here."""

from __future__ import annotations

import os
import pwd
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
    for name, url in description.url_inputs.items():
        if url.partition("://")[0].lower() not in SCHEMES:
            possible = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            return f"the input {name!r} cannot be fetched from {shown(url)}; possible are {possible}"
        if not is_valid(url):
            return f"the input {name!r} cannot be fetched from {shown(url)}; that is no valid URL"
    for name, target in (description.outputs or {}).items():
        if target is not None:
            return f"the output {name!r} cannot be sent to {shown(target)}; outputs can only be kept for download"
    return ""


def make_spec(description: JobDescription, job_id: str, *, recorded: str) -> dict[str, Any]:
    """What the runner, the supervisor and the helper for URL inputs need to know, as JSON can hold it.

    :param recorded: the description as the job list has it, without the contents of inputs
    """
    return {
        "environment": _environment(job_id),
        "outputs": [name for name in description.outputs or {} if not is_pattern(name)],
        "output_list": OUTPUT_LIST_NAME if description.patterns else "",
        "urls": description.url_inputs,
        "description": recorded,
        "wall_time": None if description.wall_time is None else description.wall_time.total_seconds(),
    }


def _environment(job_id: str) -> dict[str, str]:
    """What a job finds in its environment beside the variables of its description: little, as on a compute element."""
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("LC_")}
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    presets = {"USER": user, "LOGNAME": user, "HOME": str(Path.home()), "PATH": os.defpath}
    return {**presets, **kept, "JASMIN_ARC_JOB_ID": job_id}
