"""Users whose every request costs a front 15 ms of CPU time, twice a second each: the CPU used follows their number.

Each request takes a new connection, so that new replicas get their share: a Service balances connections.
"""

from locust import FastHttpUser, constant_throughput, task


class Calculator(FastHttpUser):
    wait_time = constant_throughput(2)
    network_timeout = connection_timeout = 5.0

    @task
    def calculate(self) -> None:
        self.client.get("/cpu?ms=15", name="/cpu", headers={"Connection": "close"})
