"""Names, values and shapes that users rely on."""

from __future__ import annotations

import ast
import inspect
import io
import pickle
import subprocess
import sys
from enum import Enum
from pathlib import Path

import pytest

import jasmin_arc
from jasmin_arc import arc_interface, config, constants, exceptions
from jasmin_arc._support.logs import make_logger
from jasmin_arc.exceptions import PYTHON_WORDS, Advice
from jasmin_arc.job_info import JobInfo

DOCUMENTED_2017 = {
    arc_interface.ArcInterface: [
        "submit_job",
        "get_job_status",
        "cancel_job",
        "save_job_outputs",
        "create_proxy",
        "create_user_config",
        "get_user_config",
        "get_job",
        "get_job_descriptions",
    ],
    config.ConnectionConfig: [
        "ARCPROXY_PATH",
        "ARC_SERVER",
        "CERTS_DIR",
        "CLIENT_CERT",
        "CLIENT_KEY",
        "JOBS_INFO_FILE",
        "OUTPUT_FILE",
        "PROXY_FILE",
        "PROXY_RENEWAL_THRESHOLD",
        "PROXY_VALIDITY_PERIOD",
    ],
    constants: ["ARC_STATUS_MAPPING", "JobStatuses", "LogLevels"],
    exceptions: [
        "InputFileError",
        "InvalidConfigError",
        "InvalidJobDescription",
        "JobNotFoundError",
        "JobSubmissionError",
        "NoTargetsAvailableError",
        "ProxyGenerationError",
    ],
}


def test_the_names_of_2017_are_all_there() -> None:
    missing = [name for place, names in DOCUMENTED_2017.items() for name in names if not hasattr(place, name)]
    assert missing == []


def test_submit_job_takes_what_it_took_in_2017() -> None:
    parameters = list(inspect.signature(jasmin_arc.ArcInterface.submit_job).parameters)
    assert parameters[1:4] == ["executable", "args", "input_files"]
    parameters = list(inspect.signature(jasmin_arc.ArcInterface).parameters)
    assert parameters[:3] == ["config_path", "log", "log_level"]


def test_every_general_state_has_a_status() -> None:
    mapping = constants.ARC_STATUS_MAPPING
    assert mapping["Finished"] is constants.JobStatuses.COMPLETED
    assert mapping["Queuing"] is constants.JobStatuses.NOT_STARTED
    assert set(constants.ARC_REST_STATES.values()) <= set(mapping) == {state.value for state in constants.JobState}
    assert [status.value for status in constants.JobStatuses] == [
        "completed",
        "failed",
        "in progress",
        "not started",
        "not submitted",
    ]


def test_every_error_has_the_common_root_and_survives_pickling() -> None:
    errors = [
        value for value in vars(exceptions).values() if inspect.isclass(value) and issubclass(value, BaseException)
    ]
    assert len(errors) > 10
    for error in errors:
        assert issubclass(error, jasmin_arc.JasminArcError)
        several = issubclass(error, (jasmin_arc.PartialFailureError, jasmin_arc.WaitTimeoutError))
        made = error("why", ["x"]) if several else error("why")
        copy = pickle.loads(pickle.dumps(made))
        assert (type(copy), str(copy), vars(copy)) == (error, "why", vars(made))


def test_an_error_keeps_its_advice_apart_and_when_pickled() -> None:
    advice = Advice("{recover} settles {name}", name="{site}")
    for error in (jasmin_arc.JobNotFoundError("gone", advice=advice), jasmin_arc.WaitTimeoutError("late", ["x"])):
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.message, copy.advice, copy.args) == (error.message, error.advice, (error.message,))
    error = jasmin_arc.JobNotFoundError("gone", advice=advice)
    assert str(pickle.loads(pickle.dumps(error))) == "gone; recover() settles {site}"
    assert pickle.loads(pickle.dumps(error)).in_words({"recover": "arc rec"}) == "gone; arc rec settles {site}"
    assert str(jasmin_arc.JobNotFoundError("gone", advice="see {site}")) == "gone; see {site}"


def test_an_advice_within_an_advice_is_in_the_words_of_its_reader() -> None:
    advice = Advice("{again}, or see {site}", again=Advice("submit it with less {memory} than {most}", most="{site}"))
    assert advice == "submit it with less memory= than {site}, or see site()"
    words = {**PYTHON_WORDS, "memory": "--memory", "site": "'arc site'"}
    again = pickle.loads(pickle.dumps(advice))
    assert again.in_words(words) == "submit it with less --memory than {site}, or see 'arc site'"


def test_advice_never_holds_foreign_text_in_its_template() -> None:
    for path in set(Path(jasmin_arc.__file__).parent.rglob("*.py")) - {Path(exceptions.__file__)}:
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Advice":
                assert isinstance(call.args[0], ast.Constant), f"{path}:{call.lineno}"


def test_importing_touches_nothing_of_arc() -> None:
    code = (
        "import sys, threading; import jasmin_arc\n"
        "heavy = {'arc', '_arc', 'cryptography', 'urllib3', 'tqdm', 'sqlite3', 'defusedxml', 'asyncio', 'click'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1"


def test_a_job_info_knows_its_status() -> None:
    assert JobInfo(id="x", state=constants.JobState.HOLD).status is constants.JobStatuses.IN_PROGRESS
    assert not JobInfo(id="x", state=constants.JobState.UNDEFINED).final
    assert JobInfo(id="x", state=constants.JobState.KILLED).final


@pytest.mark.parametrize("level", list(constants.LogLevels))
def test_the_log_shows_what_its_level_allows(level: Enum) -> None:
    stream = io.StringIO()
    logger = make_logger(stream, constants.LogLevels(level.value))
    for number in (10, 15, 20, 30, 40, 50):
        logger.log(number, "message %s", number)
    shown = stream.getvalue().count("message")
    assert shown == sorted((entry.value for entry in constants.LogLevels), reverse=True).index(level.value) + 1


def test_a_closed_log_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    logger = make_logger(stream, constants.LogLevels.DEBUG)
    stream.close()
    logger.warning("nobody reads this")
    make_logger(None, constants.LogLevels.DEBUG).error("nor this")
    assert capsys.readouterr() == ("", "")
