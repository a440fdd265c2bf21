"""Pages of the parties, by subject: organisations, members and invitations, people."""
