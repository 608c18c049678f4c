"""Networks, their tensor contract and input preparation, export, shipped weights and engines."""
