"""Jobs on this machine: the same semantics as on a compute element, with no server, certificate or root.

There is no daemon. The process that submits a job makes sure that a *runner* lives: one detached process for each
user, host and ``LOCAL_DIR``, which starts the queued jobs and ends when there are none left. Each job has a
*supervisor*, a fork of the runner, which watches the job's whole process tree and writes down how it ended. The record
is an SQLite database; nothing depends on the life of the runner or of the process that submitted.
"""
