"""The run: the only place with tasks, queues, sleep and signals."""
