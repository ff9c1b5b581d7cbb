"""The backend for Slurm: its commands run on this machine, or on another one over SSH."""
