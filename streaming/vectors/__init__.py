"""Byte-level test vectors of the wire format, for clients in every language.

Each `NAME.bin` holds one message: for each of its parts a little-endian uint32 length, then that
many bytes. `index.json` tells what a client must read from it. `python -m streaming.vectors` makes
all of them anew; docs/WIRE.md explains the format.
"""
