"""Running scripts in a POSIX shell, on this machine or on another one over SSH; nothing here knows of batch systems."""
