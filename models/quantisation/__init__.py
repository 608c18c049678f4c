"""INT8 networks: ranges of activations from frames that were run online, Q/DQ graphs from them."""
