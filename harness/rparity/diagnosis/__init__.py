"""Why two answers differ: experiments, causes, and the ledger of known discrepancies."""
