"""Networks in fewer bits: FP16, INT8 from ranges of frames that were run online, 8-bit filters."""
