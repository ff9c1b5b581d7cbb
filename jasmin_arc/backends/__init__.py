"""The places where jobs run, one package each; :mod:`~jasmin_arc.backends.table` names them."""
