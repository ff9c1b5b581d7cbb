"""What a place where jobs run offers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from jasmin_arc._support.cards import Card, Shown, grid_of, in_one_line, known_fields


@dataclass(frozen=True, repr=False)
class QueueInfo(Shown):
    """A queue of a compute element, or a partition of Slurm. What is not published is ``None``: no limit is known."""

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
    accounts: tuple[str, ...] = ()
    """The accounts that its jobs must be charged to; empty for any"""
    qos: tuple[str, ...] = ()
    """The qualities of service that its jobs must have; empty for any"""

    def _line(self) -> str:
        return in_one_line(self)

    def _card(self) -> Card:
        return Card(self.name, properties=known_fields(self, without=["name"]))


@dataclass(frozen=True, repr=False)
class QosInfo(Shown):
    """A quality of service (QoS) of Slurm that the user may choose. A limit that is not published is ``None``."""

    name: str
    max_wall_time: timedelta | None = None
    max_slots: int | None = None
    """The most processors that one job may ask for"""
    max_memory: int | None = None
    """The most memory that one job may ask for, of all its slots together, in bytes"""
    max_jobs: int | None = None
    """The most jobs, running and waiting, that the user may have"""
    overrides_wall_time: bool = False
    """Whether jobs may run for longer than their queue allows, as Slurm's flag ``PartitionTimeLimit`` says"""
    accounts: tuple[str, ...] = ()
    """The accounts with which the user may choose it; empty for any"""

    def _line(self) -> str:
        return in_one_line(self)

    def _card(self) -> Card:
        return Card(self.name, properties=known_fields(self, without=["name"]))


@dataclass(frozen=True, repr=False)
class SiteInfo(Shown):
    """A place where jobs run: its queues, and what they may ask for."""

    endpoint: str
    name: str = ""
    queues: tuple[QueueInfo, ...] = ()
    runtime_environments: tuple[str, ...] | None = ()
    """What it can set up for jobs; ``None`` where there is no list of it, as of Slurm's modules, which
    :meth:`~jasmin_arc.arc_interface.ArcInterface.find_software` finds"""
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
    """The queue of jobs that name none. No compute element publishes it; it is known once such a job was looked at"""

    def _line(self) -> str:
        return in_one_line(self)

    def _card(self) -> Card:
        grids = [grid_of(entries, what) for entries, what in ((self.queues, "queue"), (self.qos, "QoS")) if entries]
        properties = known_fields(self, without=["name", "queues", "qos"])
        return Card(self.name or self.endpoint, properties=properties, grids=grids)
