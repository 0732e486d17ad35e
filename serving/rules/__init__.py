"""Rules: what a shop says about a list, applied in one order. Reading order: criteria, rule_set, candidate."""
