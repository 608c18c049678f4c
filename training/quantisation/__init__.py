"""`unvisor quantize-headset`: HeadsetNet as INT8, judged layer by layer on made-up scenes."""
