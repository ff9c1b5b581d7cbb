"""Why a job failed or does not start: evidence in, cause and advice out, in plain words."""

from __future__ import annotations

from jasmin_arc.explain.explanation import Explanation, job_failed

__all__ = ["Explanation", "job_failed"]
