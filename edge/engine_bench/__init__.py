"""`unvisor bench-engines`: the product's networks in onnxruntime and OpenVINO, side by side."""
