"""A web shop in three roles (front, back, store), one image, on nothing but Python's standard library.

It runs in a container with no shell and no packages, next to other pods on little CPU, so it is written on asyncio's
protocols and imports little. It must not import chaoskit: it stands for an app of somebody else's.
"""
