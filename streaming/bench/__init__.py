"""The benchmark: measures the delay that streaming adds on this machine, to real processes.

The command `unvisor bench-stream`, the measurements, and the client process that they start.
"""
