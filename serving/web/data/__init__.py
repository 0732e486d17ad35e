"""Doors for what a shop's server knows: items, their stock, users and logins.

Read `bodies`, then `items`, `users`, `erasures` and `identities`. What is written goes to Kafka as an event like any
other; what is read comes from Redis, and what needs SQL is an errand for the monitor.
"""
