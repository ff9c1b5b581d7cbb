"""The places where jobs run, one module each."""
