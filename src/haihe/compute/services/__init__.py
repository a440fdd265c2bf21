"""Use cases of compute, by subject: centres, contracts, quotes, jobs."""
