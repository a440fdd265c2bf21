"""Triage of breast tumours: which cases are clear, and which a specialist must see."""
