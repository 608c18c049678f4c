"""EVI-HRnet as a graph of integer operators: bytes between the layers, laid out for the CPU."""
