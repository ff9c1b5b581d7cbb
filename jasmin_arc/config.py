"""The configuration: its options, their defaults, and where their values come from."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Union
from urllib.parse import urlsplit

from jasmin_arc._support.suggestions import nearest
from jasmin_arc.backends.table import NAMES
from jasmin_arc.description import output_name
from jasmin_arc.exceptions import InvalidConfigError, InvalidJobDescription

ENVIRONMENT_PREFIX = "JASMIN_ARC_"
CONFIG_PATH_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"


class UnknownOption(NamedTuple):
    """A name in the configuration that is not the name of an option: most likely it is misspelt."""

    name: str
    origin: str
    """Where it stands: a file, an environment variable, or an argument"""
    nearest: str
    """The option with the most similar name, or an empty text if none is similar"""


class ConnectionConfig:
    """The available options and their default values.

    :param config_dict: options to override; each key is the name of an option. Keys that start with ``#`` are
        comments
    :param logger: receives a warning for each option that does not exist (default: the logger ``jasmin_arc`` of
        Python's :mod:`logging`)
    :param origin: where the values come from, for error messages
    :raises InvalidConfigError: if a value has the wrong type or is impossible
    """

    ARCPROXY_PATH: str = "/usr/bin/arcproxy"
    """Path to the arcproxy program, which makes the proxy certificate from the private key and certificate; where it
    is missing, the proxy is made without it"""

    ARC_SERVER: str = "jasmin-ce.ceda.ac.uk:60000/arex"
    """URL of the ARC server: host, port (443 where it is missing) and path (``/arex`` where it is missing)"""

    AUTH: str = "auto"
    """What a compute element is shown: ``certificate`` (a proxy made of the grid certificate), ``token`` (a bearer
    token), or ``auto`` (the certificate where there is one, or a proxy, else a token that is found)"""

    BACKEND: str = "auto"
    """How jobs are run: ``bindings`` (the NorduGrid ARC bindings), ``rest`` (ARC's REST interface, nothing of ARC
    needed), ``slurm`` (Slurm's commands, here or over SSH), ``local`` (on this machine), or ``auto`` (the bindings
    where they can be loaded and no token is used, else REST)"""

    CERTS_DIR: str = "/etc/grid-security/certificates"
    """Path to the trusted CA certificates: a hashed directory or a bundle file"""

    CLIENT_CERT: str = "~/.arc/usercert.pem"
    """Path to the grid certificate"""

    CLIENT_KEY: str = "~/.arc/userkey-nopass.pem"
    """Path to the private key that belongs to the grid certificate"""

    JOBS_INFO_FILE: str = "~/.arc/jobs.dat"
    """Path to the job list, which ARC's own tools (arcstat, arcget, ...) read and write too"""

    LOCAL_DIR: str = "~/.local/state/jasmin_arc"
    """Path to the directory with the jobs of the ``local`` backend; by default below ``$XDG_STATE_HOME`` if that is
    set"""

    LOCAL_SLOTS: int = 0
    """Number of slots of the ``local`` backend; 0 means one for each core that this process may use"""

    OUTPUT_FILE: str = "output"
    """Name of the file or directory to keep and to download, for jobs that do not name their ``outputs``"""

    PROXY_FILE: str = "/tmp/arcproxy_file"  # noqa: S108 - the documented default; proxy.py takes it safely
    """Path of the proxy certificate. Where something that is not yours stands at the default path, a path of
    your own is used instead"""

    PROXY_RENEWAL_THRESHOLD: int = 3600
    """A new proxy is made when the present one ends within this number of seconds. One with VOMS attributes is replaced
    only where VOMS is set"""

    PROXY_VALIDITY_PERIOD: int = 12 * 60 * 60
    """Number of seconds that a new proxy is valid: by default 12 hours"""

    SLURM_ACCOUNT: str = ""
    """The account that Slurm charges jobs to that name none; empty for Slurm's own default"""

    SLURM_BIN: str = ""
    """Path to the directory with Slurm's commands, on the cluster's side; empty if they are on the ``PATH`` there"""

    SLURM_DIR: str = "~/.local/state/jasmin_arc/slurm"
    """Path to the directory with the jobs of the ``slurm`` backend, on the cluster's side: all nodes must see it, and
    ``~`` is the home directory there"""

    SLURM_HOST: str = ""
    """The host on which Slurm's commands run, as ``ssh`` knows it; empty for this machine"""

    SLURM_PARTITION: str = ""
    """The partition of jobs that name no queue; empty for Slurm's own default"""

    SLURM_QOS: str = ""
    """The quality of service of jobs that name none; empty for Slurm's own default"""

    TIMEOUT: int = 20
    """Number of seconds to wait for an answer of the server before it counts as out of reach"""

    TOKEN_FILE: str = ""
    """Path to the file with the token, which is read again when it changes; empty for the usual places: the variables
    ``BEARER_TOKEN`` and ``BEARER_TOKEN_FILE``, and the files ``bt_uUID`` in ``$XDG_RUNTIME_DIR`` and ``/tmp``"""

    VOMS: str = ""
    """The virtual organisation whose attributes a new proxy gets: ``VO``, or ``VO:/VO/GROUP/Role=ROLE`` to be there in
    a group or a role; empty for a plain proxy"""

    def __init__(
        self,
        config_dict: Mapping[str, Any],
        logger: logging.Logger | None = None,
        *,
        origin: str = "the configuration",
    ) -> None:
        if not isinstance(config_dict, Mapping):
            raise InvalidConfigError(f"{origin} must be a JSON object, not {_kind(config_dict)}")
        self._sources = dict.fromkeys(OPTIONS, "default")
        self._unknown: list[UnknownOption] = []
        self._override(config_dict, origin, logger)
        self._check_together(origin)

    @classmethod
    def load(
        cls,
        config_path: str | os.PathLike[str] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        logger: logging.Logger | None = None,
        read_file: bool = True,
        origin: str = "the config argument",
    ) -> ConnectionConfig:
        """Read the configuration: defaults, then the JSON file, then the environment, then ``config``.

        :param config_path: the JSON file; by default the one that ``JASMIN_ARC_CONFIG`` names, else
            ``~/.config/jasmin_arc/config.json`` (or below ``$XDG_CONFIG_HOME``) if it is there
        :param config: options that override all others
        :param environ: the environment (default: the process's own)
        :param logger: receives a warning for each option that does not exist (default: the logger ``jasmin_arc`` of
            Python's :mod:`logging`)
        :param read_file: whether there is a file to read; without it the other sources are all
        :param origin: where ``config`` comes from, for error messages
        :raises InvalidConfigError: if the file cannot be read or is not JSON, or a value is impossible
        """
        environ = os.environ if environ is None else environ
        path = config_path if config_path is not None else environ.get(CONFIG_PATH_VARIABLE) or None
        if path is None and default_path(environ).is_file():
            path = default_path(environ)
        loaded = cls({})
        if environ.get("XDG_STATE_HOME"):
            loaded.LOCAL_DIR = os.path.join(environ["XDG_STATE_HOME"], "jasmin_arc")  # noqa: PTH118
        if path is not None and read_file:
            loaded._override(_read_json(path), os.fspath(path), logger)
        for name, text in _environment_options(environ).items():
            variable = ENVIRONMENT_PREFIX + name
            loaded._override({name: _from_text(name, text)}, f"the environment variable {variable}", logger)
        if not isinstance(config, (Mapping, type(None))):
            raise InvalidConfigError(f"config must be a mapping, not {_kind(config)}")
        if config is not None:
            loaded._override(config, origin, logger)
        loaded._check_together("the configuration")
        return loaded

    @property
    def sources(self) -> dict[str, str]:
        """Where the value of each option comes from: ``default``, a file, a variable, or an argument."""
        return dict(self._sources)

    @property
    def unknown(self) -> tuple[UnknownOption, ...]:
        """The names that were given and are not names of options. They have no effect."""
        return tuple(self._unknown)

    @property
    def endpoint(self) -> str:
        """The URL of the compute element, complete: ``https://HOST:PORT/PATH``."""
        return _endpoint(self.ARC_SERVER)

    def as_dict(self) -> dict[str, Any]:
        """All options with their values, as they would stand in a JSON file."""
        return {name: getattr(self, name) for name in OPTIONS}

    def is_default(self, option: str) -> bool:
        """Say whether nothing has overridden the option."""
        return self._sources[option] == "default"

    @property
    def may_mean_slurm(self) -> bool:
        """Whether nothing says where jobs run, and Slurm's commands are on this machine."""
        import shutil

        return self.BACKEND == "auto" and self.is_default("ARC_SERVER") and shutil.which("sbatch") is not None

    def __repr__(self) -> str:
        changed = {name: getattr(self, name) for name in OPTIONS if not self.is_default(name)}
        return f"{type(self).__name__}({changed!r})"

    def _override(self, options: Mapping[str, Any], origin: str, logger: logging.Logger | None) -> None:
        for name, value in options.items():
            if name in OPTIONS:
                setattr(self, name, _checked(name, value, origin))
                self._sources[name] = origin
            elif not str(name).startswith("#"):
                self._ignore(UnknownOption(str(name), origin, nearest(str(name), OPTIONS)), logger)

    def _ignore(self, option: UnknownOption, logger: logging.Logger | None) -> None:
        self._unknown.append(option)
        log = logging.getLogger("jasmin_arc") if logger is None else logger
        hint = f"did you mean {option.nearest}?" if option.nearest else f"the options are {', '.join(OPTIONS)}"
        log.warning("%s: there is no option %r; %s", option.origin, option.name, hint)

    def _check_together(self, origin: str) -> None:
        for name in PATH_OPTIONS:
            setattr(self, name, os.path.expanduser(getattr(self, name)))  # noqa: PTH111 - keeps the text
        if self.PROXY_RENEWAL_THRESHOLD >= self.PROXY_VALIDITY_PERIOD:
            raise InvalidConfigError(
                f"{origin}: PROXY_RENEWAL_THRESHOLD ({self.PROXY_RENEWAL_THRESHOLD} s) must be smaller than "
                f"PROXY_VALIDITY_PERIOD ({self.PROXY_VALIDITY_PERIOD} s)"
            )


_PathLike = Union[str, "os.PathLike[str]"]


class Options(TypedDict, total=False):
    """The options as keywords of ``ArcInterface``."""

    arcproxy_path: _PathLike
    arc_server: str
    auth: str
    backend: str
    certs_dir: _PathLike
    client_cert: _PathLike
    client_key: _PathLike
    jobs_info_file: _PathLike
    local_dir: _PathLike
    local_slots: int
    output_file: str
    proxy_file: _PathLike
    proxy_renewal_threshold: int
    proxy_validity_period: int
    slurm_account: str
    slurm_bin: _PathLike
    slurm_dir: _PathLike
    slurm_host: str
    slurm_partition: str
    slurm_qos: str
    timeout: int
    token_file: _PathLike
    voms: str


OPTIONS = tuple(name for name in vars(ConnectionConfig) if name.isupper())
_WORDS = ("SLURM_ACCOUNT", "SLURM_HOST", "SLURM_PARTITION", "SLURM_QOS")
_MAY_BE_EMPTY = (*_WORDS, "SLURM_BIN", "TOKEN_FILE", "VOMS")
_AUTHS = ("auto", "certificate", "token")
PATH_OPTIONS = [
    *("ARCPROXY_PATH", "CERTS_DIR", "CLIENT_CERT", "CLIENT_KEY", "JOBS_INFO_FILE", "LOCAL_DIR", "PROXY_FILE"),
    "TOKEN_FILE",
]


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the configuration is looked for when nothing says where it is."""
    environ = os.environ if environ is None else environ
    return (
        Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~"), ".config")) / "jasmin_arc" / "config.json"
    )


def usual_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return which file is read if no other is named, whether it is there or not."""
    environ = os.environ if environ is None else environ
    return Path(environ.get(CONFIG_PATH_VARIABLE) or default_path(environ))


def _read_json(path: str | os.PathLike[str]) -> Any:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidConfigError(f"cannot read the configuration file {os.fspath(path)}: {reason}") from error
    try:
        options = json.loads(text)
    except ValueError as error:
        raise InvalidConfigError(f"{os.fspath(path)} is not valid JSON: {error}") from error
    if not isinstance(options, dict):
        raise InvalidConfigError(f"{os.fspath(path)} must hold a JSON object, not {_kind(options)}")
    return options


def _environment_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the texts of the variables that are options, or are so similar to one that they are misspelt."""
    named = {
        variable[len(ENVIRONMENT_PREFIX) :]: text
        for variable, text in environ.items()
        if variable.startswith(ENVIRONMENT_PREFIX) and variable != CONFIG_PATH_VARIABLE
    }
    return {name: text for name, text in named.items() if difflib.get_close_matches(name, OPTIONS, 1, 0.8)}


def _from_text(name: str, text: str) -> Any:
    # A text that is no number stays one, so that the type check names it as the user wrote it.
    if isinstance(getattr(ConnectionConfig, name, None), int):
        try:
            return int(text)
        except ValueError:
            return text
    return text


def _checked(name: str, value: Any, origin: str) -> Any:
    try:
        return _check(name, os.fspath(value) if isinstance(value, os.PathLike) else value)
    except ValueError as error:
        raise InvalidConfigError(f"{origin}: {name} {error}, not {_told(name, value)!r}") from error


def _check(name: str, value: Any) -> Any:
    """Return the value.

    :raises ValueError: if it is impossible; the message goes on after the name of the option
    """
    if isinstance(getattr(ConnectionConfig, name), int):
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("must be a whole number")
        least = 0 if name == "LOCAL_SLOTS" else 1
        if not least <= value < 2**31:
            raise ValueError(f"must be at least {least}")
        return value
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if "\0" in value or "\n" in value:
        raise ValueError("must be one line of text")
    if name in _WORDS and re.search(r"^-|\s", value):
        raise ValueError("must be one word, or empty")
    if name in _MAY_BE_EMPTY and not value:
        return value
    if name == "ARC_SERVER":
        _endpoint(value)
    elif name == "OUTPUT_FILE":
        _check_output(value)
    elif name == "VOMS":
        return _whole_voms(value)
    elif name == "BACKEND" and value not in NAMES:
        raise ValueError(f"must be one of {', '.join(NAMES)}")
    elif name == "AUTH" and value not in _AUTHS:
        raise ValueError(f"must be one of {', '.join(_AUTHS)}")
    elif name == "TOKEN_FILE" and looks_like_token(value):
        raise ValueError("must be the path of a file: a token must not stand in the configuration")
    elif not value.strip():
        raise ValueError("must not be empty")
    elif name == "SLURM_DIR" and not value.startswith(("/", "~")):
        raise ValueError("must begin with / or ~")
    return value


def _check_output(value: str) -> None:
    try:
        output_name(value)
    except InvalidJobDescription as error:
        if value.startswith("@"):
            raise ValueError("must not start with @, which compute elements take for a list") from error
        raise ValueError("must be a name inside the job's session directory") from error


_VOMS_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_VOMS = re.compile(rf"(?P<vo>{_VOMS_WORD})(:(/(?P=vo)(?=/|$))?(?P<inside>(/{_VOMS_WORD})*(/Role={_VOMS_WORD})?))?")


def _whole_voms(value: str) -> str:
    """Return the value with the VO's name before the group or role, where ``arcproxy -S`` lets it be left out."""
    asked = _VOMS.fullmatch(value)
    if asked is None or value.endswith(":"):
        raise ValueError("must be VO or VO:/VO/GROUP/Role=ROLE, such as 'atlas:/atlas/uk/Role=production'")
    return f"{asked['vo']}:/{asked['vo']}{asked['inside']}" if ":" in value else value


def _told(name: str, value: Any) -> Any:
    """Return what a message may tell of a wrong value: no password in an address, no key in place of its path."""
    if not isinstance(value, str):
        return value
    first_line, line_end, _ = value.partition("\n")
    shown = f"{first_line} ..." if line_end else value
    if name == "TOKEN_FILE" and looks_like_token(value):
        return "..."
    return without_secrets(shown) if name == "ARC_SERVER" else shown


def without_secrets(address: str) -> str:
    """Return an address without its user and query, which may hold a password."""
    return _QUERY.sub("?...", _USER.sub(r"\1...@", address))


_USER = re.compile(r"^(\s*[A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.S)
_QUERY = re.compile(r"[?#].*", re.S)
_JWT = re.compile(r"ey[A-Za-z][\w-]{9,}\.[\w-]{2,}\.")
"""Two of the three parts of a JSON Web Token: the first one begins with ``{`` in base64"""


def looks_like_token(path: str) -> bool:
    """Say whether somebody has given a token, perhaps with a word before it, where the path of a file is meant."""
    return _JWT.search(path) is not None


def _endpoint(server: str) -> str:
    url = server.strip()
    parts = urlsplit(url if "://" in url else "https://" + url)
    if parts.scheme != "https":
        raise ValueError("must be an https address")
    try:
        port = parts.port or 443
    except ValueError:
        raise ValueError("must have a port between 1 and 65535") from None
    if not parts.hostname or any(char.isspace() for char in url):
        raise ValueError("must be HOST:PORT/PATH, such as 'ce.example.org:443/arex'")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be HOST:PORT/PATH without user, query or fragment")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}{parts.path.rstrip('/') or '/arex'}"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a text", type(None): "null"}
    return kinds.get(type(value), type(value).__name__)
