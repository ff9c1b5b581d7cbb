"""Tools that know nothing of jobs: threads, progress bars, logs, foreign text, XML."""
