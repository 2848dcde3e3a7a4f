"""A simulated office building with known truth that answers on real sockets, with faults on purpose."""
