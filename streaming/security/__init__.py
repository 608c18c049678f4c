"""Security: who may connect from another machine, by which key, and how often they may ask.

Servers listen through a `door` and its `gate`, clients connect with a `handshake`.
"""
