"""Rules: what a shop says about a list, applied in one order.

Reading order: criteria, rule_set, candidate, context, select, which calls the rules: filters, repurchase, fatigue,
boosts, session_lift, caps, diversity, quotas, pins.
"""
