"""Which credentials a compute element is shown: a certificate, or a token. Never both: the server would mix them up."""

from __future__ import annotations

import logging
import os
from typing import Union

from jasmin_arc._support.text import home_short
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.token import TokenCredentials, token_is_there
from jasmin_arc.exceptions import JasminArcError

UserCredentials = Union[ProxyManager, TokenCredentials]


def uses_token(config: ConnectionConfig) -> bool:
    """Say whether a token is shown: what ``AUTH`` says, else where there is a token and nothing of a certificate."""
    if config.AUTH != "auto":
        return config.AUTH == "token"
    return _certificate(config) == "" and token_is_there(config)


def choose(config: ConnectionConfig, proxy: ProxyManager, log: logging.Logger) -> UserCredentials:
    """Return what is shown to the compute element.

    :param proxy: what is returned where it is a certificate
    """
    if uses_token(config):
        return TokenCredentials(config)
    if config.AUTH == "auto" and config.TOKEN_FILE:
        log.warning("TOKEN_FILE is not used, as there is %s; to use it, set AUTH to token", _certificate(config))
    return proxy


def _certificate(config: ConnectionConfig) -> str:
    """Name the certificate or proxy that there is, usable or not; an empty text where there is none."""
    # One that is configured is meant, also where its path is wrong; but 'config init' writes the default path down.
    configured = config.CLIENT_CERT != ConnectionConfig({}).CLIENT_CERT
    # Attributes are for certificates alone.
    if config.VOMS or configured or os.path.lexists(config.CLIENT_CERT):
        return f"the certificate {home_short(config.CLIENT_CERT)} (CLIENT_CERT)"
    try:
        info = ProxyManager(config, logging.Logger("jasmin_arc.quiet", logging.CRITICAL + 1)).info()
    except JasminArcError:
        info = None
    return f"the proxy {home_short(str(info.path))}" if info is not None else ""
