"""What people see of jobs: words for values, columns, tables; no I/O. The command line and notebooks share it."""
