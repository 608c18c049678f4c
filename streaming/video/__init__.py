"""Video: pictures of the `h264.*` topics, encoded without delay and decoded one by one.

Of `streaming` only this room imports PyAV, and it is imported only where video is asked for.
"""
