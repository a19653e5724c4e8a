"""How fast do tasks go over a real AMQP connection? Contestants publish to, and work, the emulator in a process of its
own, all through the same azure-servicebus SDK. Each contestant is a fresh process that prints one measurement."""
