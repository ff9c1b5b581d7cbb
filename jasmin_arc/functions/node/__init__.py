"""What runs on the node: these modules travel with each job, and need only the standard library and cloudpickle."""
