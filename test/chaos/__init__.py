"""The chaos suite.  A seed (seeds.py) is a world of programs (world.py, with instances: witness.c),
clients (clients.py), faults (faults.py, faults.c) and a judge (books.py)."""
