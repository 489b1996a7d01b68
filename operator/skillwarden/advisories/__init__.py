"""Advisories: OSV dumps, verified and built into a read-only SQLite index, and what it answers."""
