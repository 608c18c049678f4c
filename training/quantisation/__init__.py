"""`unvisor quantize` and `quantize-headset`: networks as INT8, judged before they are accepted."""
