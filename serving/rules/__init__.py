"""Rules: what a shop says about a list, applied in one order.

Reading order: criteria, rule_set, candidate, context, select, known, filters, repurchase, scoring, fatigue, boosts,
session_lift, positions, caps, diversity, quotas, pins.
"""
