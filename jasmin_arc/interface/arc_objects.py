"""What the 2017 interface offered besides: a proxy at once, and objects of the ARC bindings."""

from __future__ import annotations

from typing import Any

from jasmin_arc._support.bulk import JobLike
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.backends.base import ARC_OBJECTS
from jasmin_arc.exceptions import OperationNotPossibleError
from jasmin_arc.interface.parts import Parts


@shortens_tracebacks
class ArcObjects(Parts):
    """A part of :class:`~jasmin_arc.arc_interface.ArcInterface`; see there."""

    def create_proxy(self) -> None:
        """Create a proxy certificate from the private key and certificate, and save it to the path in the config.

        :raises ProxyGenerationError: if the certificate cannot be generated, or the present proxy has not ended and
            has VOMS attributes that the new one would not have
        """
        self.proxy.create()

    def create_user_config(self) -> Any:
        """Create a user config for use with the ARC client.

        :returns: an instance of ``arc.UserConfig`` with the necessary keys, certificates and proxy files
        :raises BindingsNotFoundError: if the bindings cannot be loaded
        """
        return self._bindings().create_user_config()

    def get_user_config(self) -> Any:
        """Return the cached user config, or create a new one. A proxy that ends soon is renewed.

        :returns: an instance of ``arc.UserConfig`` (see :meth:`create_user_config`)
        """
        return self._bindings().user_config()

    def get_job(self, job_id: JobLike) -> Any:
        """Return an instance of ``arc.Job`` representing the job with the given ID.

        :raises JobNotFoundError: if no job with the given ID could be found
        """
        return self._bindings().arc_job(self._id(job_id))

    def get_job_descriptions(self, description: str) -> Any:
        """Return an instance of ``arc.JobDescriptionList`` with the job that the given text describes.

        :param description: the job description in xRSL, ADL or JSDL
        :raises InvalidJobDescription: if it is none of these
        """
        return self._bindings().parse_descriptions(description)

    def _bindings(self) -> Any:
        if ARC_OBJECTS not in self.backend.capabilities:
            raise OperationNotPossibleError(
                f"this returns objects of the ARC bindings, which the {self.backend.name} backend does not use",
                advice="set BACKEND to bindings",
            )
        return self.backend
