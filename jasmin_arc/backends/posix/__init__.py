"""A session directory on a POSIX host, whatever starts the job: its inputs, its listing and its end."""
