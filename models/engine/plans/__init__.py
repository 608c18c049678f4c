"""TensorRT plans: built from ONNX, kept with a manifest that says what for, opened to be run."""
