"""What a compute element offers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class QueueInfo:
    """A queue of a compute element. What is not published is ``None``: no limit is known."""

    name: str
    max_wall_time: timedelta | None = None
    max_cpu_time: timedelta | None = None
    max_slots: int | None = None
    """The most slots that one job may ask for"""
    max_memory: int | None = None
    """The most memory per slot, in bytes"""
    total_slots: int | None = None
    free_slots: int | None = None
    running: int | None = None
    """Jobs running, of all users"""
    waiting: int | None = None
    """Jobs waiting, of all users"""
    nodes_idle: int | None = None
    """Nodes on which nothing runs"""
    nodes_busy: int | None = None
    """Nodes on which something runs"""


@dataclass(frozen=True)
class QosInfo:
    """A quality of service (QoS) of Slurm that the user may choose. A limit that is not published is ``None``."""

    name: str
    max_wall_time: timedelta | None = None
    max_slots: int | None = None
    """The most processors that one job may ask for"""
    max_memory: int | None = None
    """The most memory that one job may ask for, of all its slots together, in bytes"""
    max_jobs: int | None = None
    """The most jobs, running and waiting, that the user may have"""


@dataclass(frozen=True)
class SiteInfo:
    """A compute element: its queues and the runtime environments that it offers."""

    endpoint: str
    name: str = ""
    queues: tuple[QueueInfo, ...] = ()
    runtime_environments: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    """The interfaces that it speaks, such as ``org.nordugrid.arcrest``"""
    healthy: bool = True
    """Whether it says of itself that it works"""
    accounts: tuple[str, ...] = ()
    """The accounts that the user may charge jobs to; empty where there are none, or it is not known"""
    qos: tuple[QosInfo, ...] = ()
    """The qualities of service that the user may choose; empty where there are none, or it is not known"""
    default_account: str = ""
    """The account of jobs that name none"""
    default_qos: str = ""
    """The quality of service of jobs that name none"""
    default_queue: str = ""
    """The queue of jobs that name none. No site publishes it; it is known once such a job was looked at"""
