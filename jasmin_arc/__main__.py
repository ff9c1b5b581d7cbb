"""``python -m jasmin_arc`` is ``jasmin-arc``."""

from __future__ import annotations

from jasmin_arc.cli import main

if __name__ == "__main__":
    main()
