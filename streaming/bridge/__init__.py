"""The bridge: the stream for web pages, which speak WebSocket and not ZeroMQ.

The command `unvisor bridge` with its server, and the subscriptions that its viewers share.
"""
