"""Files on their way: inputs checked and sent, outputs chosen, downloaded and put in place; on any backend."""
