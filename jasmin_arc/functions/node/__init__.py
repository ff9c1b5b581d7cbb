"""What runs on the node: these modules travel with each job, and need nothing but the standard library and cloudpickle."""
