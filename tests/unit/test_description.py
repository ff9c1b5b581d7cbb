"""A job description checks itself, and says which field is wrong."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jasmin_arc import InputFileError, InvalidJobDescription, JobDescription
from jasmin_arc.description.fields import CHECKS
from jasmin_arc.description.keywords import DEFAULTS
from jasmin_arc.description.quantities import parse_duration, parse_size

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def test_what_is_not_given_has_sensible_values() -> None:
    job = JobDescription(executable="/usr/bin/env")
    assert (job.name, job.arguments, job.inputs, job.outputs, job.slots) == ("env", (), {}, None, 1)
    assert job.commands == (("/usr/bin/env",),)


def test_values_take_their_simplest_form() -> None:
    job = JobDescription(
        executable=Path("run.sh"),
        inputs=["data/./f1.nc", Path("/a/run.sh"), "https://example.org/d/f%202.nc?x=1"],
        outputs="./results//*.nc",
        memory="4 GB",
        wall_time="1h 30m",
        cpu_time=timedelta(minutes=1),
    )
    assert job.executable == "run.sh"
    assert job.inputs == {
        "f1.nc": Path("data/f1.nc"),
        "run.sh": Path("/a/run.sh"),
        "f 2.nc": "https://example.org/d/f%202.nc?x=1",
    }
    assert job.outputs == {"results/*.nc": None}
    assert (job.memory, job.wall_time, job.cpu_time) == (4 * 1024**3, timedelta(hours=1.5), timedelta(seconds=60))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("executable", ""),
        ("executable", 5),
        ("executable", "-rf"),
        ("arguments", "one text"),
        ("arguments", [None]),
        ("arguments", [True]),
        ("arguments", ["nul\0"]),
        ("arguments", ["x" * 200_000]),
        ("arguments", ["\ud800"]),
        ("name", "two\nlines"),
        ("name", ""),
        ("inputs", 5),
        ("inputs", [b"content"]),
        ("inputs", {"../f": "f"}),
        ("inputs", {"/f": "f"}),
        ("inputs", {"": "f"}),
        ("inputs", {".jasmin_arc_run": "f"}),
        ("inputs", {"f": 5}),
        ("inputs", {"f": "~no-such-user-here/f"}),
        ("inputs", {"f": "file://elsewhere/f"}),
        ("inputs", {"f": "http://not a url"}),
        ("outputs", ["../f"]),
        ("outputs", {"*.nc": "https://example.org/"}),
        ("outputs", {"f": "not a url"}),
        ("outputs", ["@list"]),
        ("environment", {"1A": "x"}),
        ("environment", {"A B": "x"}),
        ("environment", {"A": True}),
        ("environment", ["A=1"]),
        ("queue", "two words"),
        ("account", ""),
        ("account", "two words"),
        ("native", ["--exclusive"]),
        ("native", {"qos": ["high"]}),
        ("native", {"": "x"}),
        ("slots", 0),
        ("slots", True),
        ("slots", "4"),
        ("slots_per_host", 2),
        ("memory", "much"),
        ("memory", 0),
        ("memory", True),
        ("memory", "9" * 400),
        ("memory", 10**400),
        ("wall_time", "soon"),
        ("wall_time", -1),
        ("wall_time", "1h x"),
        ("wall_time", 10**400),
        ("wall_time", "9" * 400 + "h"),
        ("cpu_time", float("nan")),
        ("runtime_environments", "ENV"),
        ("runtime_environments", [""]),
        ("stdin", "https://example.org/x"),
        ("steps", [["a"], []]),
        ("steps", ["text"]),
        ("stop_on_failure", 1),
        ("rerun", -1),
    ],
)
def test_an_impossible_value_names_its_field(field: str, value: Any) -> None:
    options = {"executable": "" if field == "steps" else "/bin/true", field: value}
    with pytest.raises(InvalidJobDescription, match=rf"^{field}"):
        JobDescription(**options)


def test_numbers_and_paths_become_text() -> None:
    job = JobDescription("model", [1961, 2.5, Path("a/b"), "x"], environment={"OMP_NUM_THREADS": 4}, inputs="a/f")
    assert job.arguments == ("1961", "2.5", "a/b", "x")
    assert job.environment == {"OMP_NUM_THREADS": "4"}
    assert job.inputs == {"f": Path("a/f")}


def test_the_message_says_which_argument_is_wrong() -> None:
    with pytest.raises(InvalidJobDescription, match=r"^arguments\[1\]: .* not None"):
        JobDescription("model", ["a", None])  # type: ignore[list-item]
    with pytest.raises(InvalidJobDescription, match=r"^steps\[1\]\[0\]: .* not None"):
        JobDescription(steps=[["a"], [None]])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("walltime", "wall_time"), ("mem", "memory"), ("output", "outputs"), ("args", "arguments"), ("CPUs", "slots")],
)
def test_a_keyword_that_is_no_field_suggests_the_nearest(given: str, meant: str) -> None:
    with pytest.raises(TypeError, match=rf"no keyword '{given}'; did you mean '{meant}'\?"):
        JobDescription("model", **{given: "x"})  # type: ignore[arg-type]
    with pytest.raises(InvalidJobDescription, match=f"did you mean '{meant}'"):
        JobDescription("model").replace(**{given: "x"})


def test_help_shows_every_field() -> None:
    shown = inspect.signature(JobDescription).parameters
    assert list(shown) == list(CHECKS)
    assert {name: entry.default for name, entry in shown.items()} == {"executable": "", "arguments": (), **DEFAULTS}


@pytest.mark.parametrize(("inputs", "name"), [(["a/f", "b/f"], "f"), ({"stdout": "f"}, "stdout")])
def test_a_name_that_is_taken_is_the_fault_of_an_input_file(inputs: Any, name: str) -> None:
    with pytest.raises(InputFileError, match=f"^inputs: .*{name!r}"):
        JobDescription(executable="x", inputs=inputs)


def test_names_may_look_like_contents_in_json() -> None:
    description = JobDescription(
        executable="base64",
        inputs={"base64": "/usr/bin/base64", "b": b"\0"},
        environment={"base64": "1"},
        outputs={"base64": "https://store.example/base64"},
        stdin=b"\xff",
    )
    assert JobDescription.from_json(description.to_json()) == description


def test_native_options_are_names_with_values() -> None:
    given = {"--constraint": "amd 2", "exclusive": True, "gres_flags": None, "nice": 10, "spread_job": False}
    job = JobDescription(executable="a", account="gws1", native=given)
    assert (job.account, job.native) == ("gws1", {"constraint": "amd 2", "exclusive": "", "nice": "10"})
    with pytest.raises(InvalidJobDescription, match="native: constraint, exclusive, nice: these are options of sbatch"):
        job.refuse_native()
    JobDescription(executable="a").refuse_native()
    assert JobDescription.from_json(job.to_json()) == job
    assert len({job, job.replace(native=None), job.replace(account=None)}) == 3


@pytest.mark.parametrize("name", ["", "C", "constraint=amd", "x y", "--a\n", 5])
def test_native_options_have_long_names(name: Any) -> None:
    with pytest.raises(InvalidJobDescription, match="not the long name of an option"):
        JobDescription(executable="a", native={name: "1"})


def test_a_completed_description_leaves_nothing_to_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    job = JobDescription(executable="a", inputs={"f": "f", "g": "/g", "u": "https://h/u", "b": b"1"}, stdin="in")
    complete = job.completed(["output"])
    assert complete.inputs == {"f": tmp_path / "f", "g": Path("/g"), "u": "https://h/u", "b": b"1"}
    assert (complete.outputs, complete.stdin, complete.name) == ({"output": None}, tmp_path / "in", "a")
    assert complete == complete.completed(["another"])
    assert job.replace(outputs=[]).completed(["output"]).outputs == {}
    assert hash(complete) != hash(job)


def test_executable_and_steps_exclude_each_other() -> None:
    with pytest.raises(InvalidJobDescription, match="not both"):
        JobDescription(executable="a", steps=[["b"]])
    assert JobDescription(steps=[["a", "x"], ["b"]]).commands == (("a", "x"), ("b",))


def test_a_description_cannot_be_changed_but_copied() -> None:
    job = JobDescription(executable="a")
    with pytest.raises(AttributeError):
        job.slots = 2  # type: ignore[misc]
    assert job.replace(slots=2).slots == 2
    assert job.replace(slots=2).replace(slots=None) == job
    with pytest.raises(InvalidJobDescription, match="slots_per_host"):
        job.replace(slots_per_host=2)
    with pytest.raises(InvalidJobDescription, match="colour"):
        job.replace(colour="red")


def full_description() -> JobDescription:
    return JobDescription(
        executable="a", inputs={"f": b"1", "g": "/g"}, outputs={"o": None}, environment={"A": "1", "B": "2"}
    )


@pytest.mark.parametrize("field", ["inputs", "outputs", "environment"])
def test_the_mappings_of_a_description_cannot_be_changed(field: str) -> None:
    mapping: Any = getattr(full_description(), field)
    before, key = dict(mapping), next(iter(mapping))
    changes: list[Callable[[], object]] = [
        lambda: mapping.__setitem__("A; touch x; B", "x"),
        lambda: mapping.__delitem__(key),
        lambda: mapping.__ior__({"x": "y"}),
        lambda: mapping.update(x="y"),
        lambda: mapping.setdefault("x", "y"),
        lambda: mapping.pop(key),
        mapping.popitem,
        mapping.clear,
    ]
    for change in changes:
        with pytest.raises(TypeError, match="cannot be changed"):
            change()
    assert mapping == before
    assert repr(mapping) == repr(before)
    assert dict(mapping) | {"x": "y"} == mapping | {"x": "y"}


def test_what_was_given_may_be_changed_without_an_effect_on_the_description() -> None:
    environment = {"A": "1"}
    job = JobDescription(executable="a", environment=environment)
    environment["A; touch x; B"] = "x"
    assert job.environment == {"A": "1"}


def test_equal_descriptions_have_equal_hashes() -> None:
    job, other = full_description(), full_description().replace(environment={"B": "2", "A": "1"})
    assert job == other
    assert hash(job) == hash(other)
    assert len({job, other, job.replace(slots=2), job.replace(outputs=[])}) == 3


def test_a_description_can_be_copied_and_sent_to_another_process() -> None:
    job = full_description()
    for same in (copy.copy(job), copy.deepcopy(job), pickle.loads(pickle.dumps(job)), job.replace()):
        assert (same, hash(same), same.to_json()) == (job, hash(job), job.to_json())
        with pytest.raises(TypeError):
            same.environment["C"] = "3"  # type: ignore[index]


def test_a_description_as_plain_data() -> None:
    values = dataclasses.asdict(full_description())
    assert (values["outputs"], values["environment"]) == ({"o": None}, {"A": "1", "B": "2"})
    assert json.loads(json.dumps(values["environment"])) == {"A": "1", "B": "2"}


@given(
    st.builds(
        JobDescription,
        executable=st.just("run"),
        arguments=st.lists(texts, max_size=3),
        environment=st.dictionaries(st.sampled_from(["A", "B_1"]), texts),
        inputs=st.dictionaries(
            st.sampled_from(["a", "b/c"]), st.one_of(st.binary(), st.just("/x"), st.just("s3://x/y"))
        ),
        outputs=st.one_of(st.none(), st.just({"o": None, "p": "https://example.org/p"})),
        memory=st.one_of(st.none(), st.integers(1, 2**40)),
        wall_time=st.one_of(st.none(), st.integers(1, 10**6)),
        stdin=st.one_of(st.none(), st.binary()),
        slots=st.integers(1, 64),
        rerun=st.integers(0, 5),
    )
)
def test_json_both_ways(job: JobDescription) -> None:
    assert JobDescription.from_json(job.to_json()) == job


@pytest.mark.parametrize("text", ["", "[]", "{", '{"executable": "a", "color": 1}', '{"executable": {"base64": "!"}}'])
def test_json_that_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(InvalidJobDescription):
        JobDescription.from_json(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("90 min", 5400),
        ("1h30m", 5400),
        ("1 day 2 hours", 93600),
        ("01:30:00", 5400),
        ("2-00:00:01", 172801),
        ("45", 45),
        (0.2, 1),
        ("1.5h", 5400),
    ],
)
def test_durations(text: Any, seconds: int) -> None:
    assert parse_duration(text, "wall_time") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("4 GB", 4 * 2**30), ("512M", 2**29), ("1.5 GiB", 3 * 2**29), ("100", 100), (7, 7)]
)
def test_sizes(text: Any, size: int) -> None:
    assert parse_size(text, "memory") == size


@given(st.text())
def test_any_text_is_a_quantity_or_an_error(text: str) -> None:
    for parse in (parse_duration, parse_size):
        try:
            parse(text, "field")
        except InvalidJobDescription as error:
            assert "field" in str(error)
