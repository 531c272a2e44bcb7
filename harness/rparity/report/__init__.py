"""Reports: text for the terminal, JSON, the audit's page, and figures."""
