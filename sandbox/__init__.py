"""A payment gateway for trying things out: a small process of its own, which knows of the shop no more than any gateway does.

It has an API, a page where customers pay, signed webhooks, books of every movement of money, and switches for all that goes wrong with
real gateways. `python -m sandbox` runs it; `./bazaar up` does.
"""
