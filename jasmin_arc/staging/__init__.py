"""Files on their way: inputs checked and sent, outputs chosen, downloaded and put in place.

All of it knows the contract of :class:`~jasmin_arc.backends.base.Backend`, and no backend.
"""

from __future__ import annotations

from jasmin_arc.staging.inputs import StagedInput, plan_inputs, upload_all
from jasmin_arc.staging.outputs import EVERYTHING, folders_of, save_many

__all__ = ["EVERYTHING", "StagedInput", "folders_of", "plan_inputs", "save_many", "upload_all"]
