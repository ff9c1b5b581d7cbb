"""What Slurm tells of a site like JASMIN's LOTUS."""

from __future__ import annotations

from datetime import timedelta

from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

HOUR = timedelta(hours=1)
JASMIN = SiteInfo(
    "slurm://lotus",
    queues=(
        QueueInfo("standard", 24 * HOUR, total_slots=48768, free_slots=12210, nodes_idle=12, nodes_busy=242),
        QueueInfo("special", max_wall_time=HOUR),
        QueueInfo("debug", max_wall_time=HOUR, total_slots=192, nodes_idle=0, nodes_busy=1, qos=("debug",)),
        QueueInfo("orchid", max_wall_time=24 * HOUR, total_slots=192, accounts=("orchid",)),
    ),
    runtime_environments=None,
    accounts=("mygws", "no-project", "orchid"),
    qos=(
        QosInfo("standard", 24 * HOUR, max_slots=1, max_memory=128 << 30, max_jobs=4),
        QosInfo("short", 4 * HOUR, max_slots=1, max_memory=200 << 30),
        QosInfo("long", 120 * HOUR, max_slots=1, overrides_wall_time=True),
        QosInfo("high", 48 * HOUR, max_slots=96, max_memory=1000 << 30, overrides_wall_time=True, accounts=("mygws",)),
        QosInfo("debug", HOUR, max_slots=8, max_jobs=32),
    ),
    default_account="mygws",
    default_qos="standard",
    default_queue="standard",
)
