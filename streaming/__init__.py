"""The contract between processes and with clients: records, messages, sockets, clocks."""
