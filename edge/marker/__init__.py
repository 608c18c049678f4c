"""The marker: a printed sticker on the headset that makes the headset's pose exact.

Found in the frame (`detector`, `corners`), posed, guiding the tracker, printed (`sheet`).
"""
