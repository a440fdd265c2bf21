"""Pages of the programme: plans and indicators, schemes and vouchers, scenarios."""
