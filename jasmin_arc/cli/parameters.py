"""Kinds of values that options take, and how a shell completes them."""

from __future__ import annotations

from typing import Any

import click

from jasmin_arc.cli.app import context_of
from jasmin_arc.description.quantities import parse_duration
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.site_info import SiteInfo

_MOST = 10 * 365 * 86400.0
"""The longest, as of a job description"""


class Seconds(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A duration in any form that a job description takes, and also a fraction of a second, or 0.

    :param least: the shortest that is possible, in seconds
    """

    name = "duration"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = _seconds(value)
        if seconds is not None and self._least <= seconds <= _MOST:
            return seconds
        option = max(param.opts, key=len) if param is not None else "this"
        forms = "'30s', '5m', '1h 30m', '01:30:00' or 300 (seconds)"
        least = f" of at least {self._least:g} s" if self._least else ""
        raise click.UsageError(f"{option} must be a duration{least}, such as {forms}, not {value!r}", ctx)


def complete_queue(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the queues that begin so."""
    site = _known_site(ctx)
    return [queue.name for queue in site.queues if queue.name.startswith(incomplete)] if site else []


def complete_account(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the accounts of the user that begin so."""
    site = _known_site(ctx)
    return [name for name in site.accounts if name.startswith(incomplete)] if site else []


def _known_site(ctx: click.Context) -> SiteInfo | None:
    """Return what the site was found to have of late. No server is asked."""
    from jasmin_arc.explain import site_file

    try:
        kept = site_file.read(context_of(ctx).arc.backend.endpoint)
    except JasminArcError:
        return None
    return kept[1] if kept else None


def _seconds(value: Any) -> float | None:
    try:
        return float(value)
    except ValueError:
        pass
    try:
        return parse_duration(value, "").total_seconds()
    except JasminArcError:
        return None
