"""What must survive a process and be shared by all of them: token ledger, burst window, breaker, leases."""
