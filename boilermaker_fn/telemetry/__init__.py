"""What can be seen from outside: logs and spans. They observe and decide nothing."""
