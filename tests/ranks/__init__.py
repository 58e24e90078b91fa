"""Several ranks train one model together: against one process, over MPI's real two where it is installed."""
