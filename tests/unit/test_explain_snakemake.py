"""A job whose program is Snakemake: its reason is what the command of the rule said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc.explain.snakemake import without_snakemake

BEGIN = "Building DAG of jobs...\nUsing shell: /usr/bin/bash\nSelect jobs to execute...\nExecute 1 jobs...\n"
COMMAND = "RuleException:\nCalledProcessError in file \"/work/Snakefile\", line 3:\nCommand 'set -euo pipefail;  run' "
END = (
    "Shutting down, this might take some time.\n"
    "Exiting because a job execution failed. Look above for error messages\n"
    "Storing output in storage.\nElapsed time: 0:00:00.106672\n"
    "WorkflowError:\nAt least one job did not complete successfully.\n"
)
KILLED = END.replace("Exiting because a job execution failed. Look above for error messages\n", "")
EXIT = "returned non-zero exit status 3.\n"
SIGNAL = "died with <Signals.SIGKILL: 9>.\n"
MISSING = 'MissingOutputException in rule one in file "/work/Snakefile", line 4:\nresult (missing locally)\n'


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (f"{BEGIN}no such cell: 17\n{COMMAND}{EXIT}{END}", "no such cell: 17\n"),
        (f"{BEGIN}{COMMAND}{EXIT}{END}", f"{COMMAND}{EXIT}"),
        (f"{BEGIN}half of it\n{COMMAND}{SIGNAL}{END}", f"half of it\n{COMMAND}{SIGNAL}"),
        (f"{BEGIN}{MISSING}{END}", MISSING),
        (f"{BEGIN}first\n{BEGIN}second\n{COMMAND}{EXIT}{END}", "second\n"),
        (f"{BEGIN}step 2 of 9\n{KILLED}", "step 2 of 9\n"),
        (f"the end of much\n{COMMAND}{EXIT}{END}", "the end of much\n"),
    ],
)
def test_the_words_of_the_command_are_left(stderr: str, said: str) -> None:
    assert without_snakemake(stderr) == said


@given(st.text())
def test_what_another_program_says_is_left_as_it_is(stderr: str) -> None:
    assert without_snakemake(stderr) == stderr
