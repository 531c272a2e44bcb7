"""R run in a process of its own, and how values cross."""
