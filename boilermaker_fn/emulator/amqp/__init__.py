"""AMQP 1.0 as bytes: values, performatives, frames and the sections of a message. No sockets, no queues."""
