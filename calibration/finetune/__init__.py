"""Fine-tuning from the command line: the frames that were captured, and the process that learns."""
