"""From the network to the ledger: guard, C-STORE, pre-scan, spool, grouping, routing."""
