"""PYTHON FUNCTIONS AS JOBS: packing calls, putting them into jobs, and getting their results back."""
