"""An example: a shop that works off a file of orders. `boilermaker-fn demo` runs it."""
