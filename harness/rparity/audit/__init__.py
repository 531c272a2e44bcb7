"""The audit: every engine on every case, and why two of them differ."""
