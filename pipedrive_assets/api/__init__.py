"""One request in, one checked answer out: authentication, rate limit, retries, circuit breaker, paging."""
