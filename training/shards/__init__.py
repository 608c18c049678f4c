"""Face clips packed into tar archives, WebDataset layout: read in order, without PyAV."""
