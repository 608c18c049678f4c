"""Recordings: keep what a publisher sends in a file, read it, and feed it back as if live.

The commands `unvisor record` and `unvisor replay`, and recordings that clients ask for.
"""
