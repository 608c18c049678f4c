"""The relay: brings an encrypted stream from another machine to clients here that know no keys.

Pictures pass in one half and questions to the control socket in the other.
"""
