"""HTTPS with deadlines and plain errors. Nothing here knows ARC."""
