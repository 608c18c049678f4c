"""CoverNet: which parts of a bare face a hand, hair, a mask or dark glasses cover."""
