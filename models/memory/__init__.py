"""What earlier frames of a session tell of the next one, so that a fill neither trembles nor lags.

Landmarks, registration and light are each remembered by a small filter of their own. Networks and
the bank of views have their own memories.
"""
