"""Doors for what a shop's server knows: items, their stock, users and logins.

Read `serving.web.bodies`, then `items`, `users` and `erasures`. What is written goes to Kafka as an event like any
other; what is read comes from Redis, and what needs SQL is an errand for the monitor.
"""
