"""The GPU as engines need it: which card it is, memory, one stream, captured graphs."""
