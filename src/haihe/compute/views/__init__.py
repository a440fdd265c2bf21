"""Pages of compute, by subject: centres, contracts, quotes, jobs."""
