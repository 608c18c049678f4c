"""What `unvisor evaluate` reports: documents, tables and picture strips, by protocol."""
