"""A session directory on a POSIX host: its layout, inputs, listing and end."""
