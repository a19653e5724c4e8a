"""What does it look like? The example `examples/orders`, run whole on the embedded engine."""
