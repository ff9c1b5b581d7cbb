"""xRSL as users write it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from jasmin_arc import InvalidJobDescription, JobDescription
from jasmin_arc.description.formats.xrsl import from_xrsl, to_xrsl

TYPICAL = '''
(* the monthly mean *)
& (executable = "mean.sh")
  (arguments = "a b" c 'it''s' "say ""hi""" ^|x||y| )
  (jobName = mean)
  (inputFiles = ("data.nc" "") ("other.nc" "file:///data/o.nc") ("far.nc" "https://h.example/far.nc"))
  (outputFiles = ("out.nc" "") ("sent.nc" "gsiftp://h.example/sent.nc") ("log" ""))
  (environment = ("A" "1") ("B" "")) (environment = ("C" 3))
  (stdout = log) (join = yes) (gmlog = "gmlog") (disk = 100)
  (queue = short) (count = 4) (count_per_node = 2) (memory = 500)
  (wallTime = 90) (cpuTime = "2 hours 30")
  (runTimeEnvironment = "ENV/PROXY") (runTimeEnvironment = "APPS/X-1.2")
  (stdin = "data.nc") (rerun = 2)
'''


def test_a_typical_description() -> None:
    assert from_xrsl(TYPICAL) == JobDescription(
        executable="mean.sh",
        arguments=["a b", "c", "it's", 'say "hi"', "x|y"],
        name="mean",
        # As arcsub does: a program with a relative path is a local file.
        inputs={
            "data.nc": "data.nc",
            "other.nc": "/data/o.nc",
            "far.nc": "https://h.example/far.nc",
            "mean.sh": "mean.sh",
        },
        # The stream has another name here and is always kept.
        outputs={"out.nc": None, "sent.nc": "gsiftp://h.example/sent.nc"},
        environment={"A": "1", "B": "", "C": "3"},
        queue="short",
        slots=4,
        slots_per_host=2,
        memory=500 * 1024**2,
        wall_time=timedelta(minutes=90),
        cpu_time=timedelta(hours=2, minutes=30),
        runtime_environments=["ENV/PROXY", "APPS/X-1.2"],
        stdin="data.nc",
        rerun=2,
    )


def test_what_is_written_is_readable() -> None:
    text = to_xrsl(JobDescription(executable="/bin/echo", arguments=['a "b" (*'], outputs=["out"], wall_time="1h"))
    assert text == (
        '&(executable = "/bin/echo")\n'
        ' (arguments = "a ""b"" (" # "*")\n'
        ' (jobname = "echo")\n'
        ' (stdout = "stdout")\n'
        ' (stderr = "stderr")\n'
        ' (outputfiles = ("stdout" "") ("stderr" "") ("out" ""))\n'
        ' (walltime = "3600 seconds")\n'
    )


@pytest.mark.parametrize(
    ("period", "seconds"),
    [
        ("10", 600),
        ("90 minutes", 5400),
        ("1 day, 2 hours", 26 * 3600),
        ("1h30m", 5400),
        ("2 Hours 5", 7500),
        ("PT1H30M", 5400),
        ("P1DT2H", 26 * 3600),
        ("P1Y2M", (365 + 60) * 86400),
        ("1 week", 7 * 86400),
        ("45 sec", 45),
    ],
)
def test_periods(period: str, seconds: int) -> None:
    assert from_xrsl(f'&(executable=/bin/x)(walltime="{period}")').wall_time == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "period", ["", "soon", "1 month", "1.5 hours", "01:30:00", "-5", "0", "P", "PT", "10 x", "5 s 3", "999999999 weeks"]
)
def test_impossible_periods_name_the_attribute(period: str) -> None:
    with pytest.raises(InvalidJobDescription, match=r"wall_?time"):
        from_xrsl(f'&(executable=/bin/x)(walltime="{period}")')


def test_variables_and_concatenation() -> None:
    variables = '&(rsl_substitution=(D "/data"))(rsl_substitution=(E $(D)/e))'
    job = from_xrsl(variables + '(executable=$(E)/x)(arguments="a" # b $(D)"/f" (* no *) g)')
    assert job.commands == (("/data/e/x", "ab", "/data/f", "g"),)


def test_nested_conditions() -> None:
    assert from_xrsl("&(&(executable=/bin/x)(count=2))(queue=q)").slots == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: '&' expected"),
        ("(executable=/bin/x)", "line 1: '&' expected"),
        ("&(executable=/bin/x", r"'\)' expected, not 'the end'"),
        ("&(executable=/bin/x))", "something follows"),
        ("+(&(executable=/bin/x))(&(executable=/bin/y))", "several jobs"),
        ("|(executable=/bin/x)(executable=/bin/y)", "alternatives"),
        ('&(executable=/bin/x)\n(arguments="a)', "line 2: the end of a quoted text"),
        ("&(executable=/bin/x)(* comment", "end of a comment"),
        ("&(executable=/bin/x)(arguments=a=b)", "put it in quotes"),
        ("&(executable=$(X))", "'X' is not defined"),
        ("&(executable=/bin/x)(priority=5)", "'priority' is not supported; possible are arguments, .*ignored are"),
        ("&(executable=/bin/x)(walltme=5)", "walltme"),
        ("&(executable=/bin/x)(queue!=long)", "only = is supported"),
        ("&(executable=/bin/x)(queue=a)(queue=b)", "given twice"),
        ("&(executable=/bin/x)(queue=a b)", "one text"),
        ("&(executable=/bin/x)(count=many)", "count: must be a whole number"),
        ("&(executable=/bin/x)(inputfiles=f)", "inputfiles: must be pairs"),
        ('&(executable=/bin/x)(inputfiles=(f "https://h/f" "cache=no"))', "options are not supported"),
        ("&(executable=/bin/x)(inputfiles=(f a)(f b))", "two of them"),
        ('&(executable=/bin/x)(outputfiles=("@list" ""))', "outputs"),
        ("&(executable=/bin/x)(arguments=(a b))", "without parentheses"),
        ("&(executable=/bin/x)(countpernode=2)", "slots_per_host"),
        ("&(count=2)", "executable"),
        ("&(executable=/bin/x)(arguments=" + "(" * 1000, "nested too deeply"),
        ("&(" * 1000, "nested too deeply"),
        ("&(executable=/bin/x)(stdin=/etc/hosts)", "stdin"),
        (" " * (16 * 1024 * 1024 + 1), "longer than"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(InvalidJobDescription, match=message):
        from_xrsl(text)


def test_executables_are_inputs_that_are_executable_here(tmp_path: Path) -> None:
    for name in ("run.sh", "helper.sh", "lib/tool", "plain.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch(0o600 if name in ("run.sh", "plain.sh") else 0o755)
    files = " ".join(f'("{name}" "{tmp_path / name}")' for name in ("run.sh", "helper.sh", "lib", "plain.sh"))
    start = f'&(executable=run.sh)(inputfiles={files} ("far" "https://h/f"))'
    job = from_xrsl(start + '(executables="./helper.sh" run.sh)(executables="lib/tool")')
    assert '(executables = "helper.sh")' in to_xrsl(job)
    assert from_xrsl(to_xrsl(job)) == job
    for name, reason in {
        "plain.sh": "chmod \\+x .*plain.sh",
        "far": "URL",
        "lib": "chmod",
        "other": "not an input",
    }.items():
        with pytest.raises(InvalidJobDescription, match=f"executables: '{name}' .*{reason}"):
            from_xrsl(start + f"(executables = helper.sh {name})")
