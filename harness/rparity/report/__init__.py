"""What a reader sees: tables in a terminal, and figures."""
