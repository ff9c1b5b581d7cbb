"""What the doctor looks at for jobs by the ARC bindings."""

from __future__ import annotations

from jasmin_arc.backends.bindings.loader import load_arc
from jasmin_arc.backends.rest.checks import checks as rest_checks
from jasmin_arc.credentials.choice import uses_token
from jasmin_arc.doctor import CheckFailed, Examination, Look, skipped
from jasmin_arc.exceptions import BindingsNotFoundError


def checks(examination: Examination) -> dict[str, Look]:
    """Return the checks, by name."""

    def bindings() -> str:
        if uses_token(examination.config):
            if examination.config.BACKEND == "bindings":
                raise CheckFailed("they take no tokens", "Set BACKEND to rest or auto, or AUTH to certificate.")
            raise skipped("they take no tokens, so REST is used instead")
        try:
            return f"the ARC bindings, version {load_arc().ARC_VERSION}"
        except BindingsNotFoundError as error:
            if examination.config.BACKEND == "bindings":
                raise
            raise skipped("not found, so REST is used instead") from error

    return {"bindings": Look(bindings), **rest_checks(examination)}
