"""Decisions from files, for audit and what-if: the same readers, the same rules, no server."""
