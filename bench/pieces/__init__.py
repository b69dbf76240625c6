"""The measured pieces: functions of a watch and arguments, each in a process of its own (``bench.worker``).

A piece imports what it needs, loads its inputs, starts the watch, does its work, stops the watch, and returns
what it found out. A module imports nothing large at its top, so that a piece counts nobody else's imports.
"""
