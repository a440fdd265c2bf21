"""Use cases of the programme, by subject: plans and indicators, vouchers, scenarios."""
