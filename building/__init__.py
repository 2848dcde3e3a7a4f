"""The ground floor: the words every room of the house shares.

Nothing here opens a socket or knows a neighbour. Start with ``readings`` and ``quantities``, then ``site``.
"""
