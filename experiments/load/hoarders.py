"""Users whose every request makes a front hold 4 MiB for 10 s, once in two seconds each: 20 MiB a user.

Each request takes a new connection, so that new replicas get their share: a Service balances connections.
"""

from locust import FastHttpUser, constant_throughput, task


class Hoarder(FastHttpUser):
    wait_time = constant_throughput(0.5)
    network_timeout = connection_timeout = 5.0

    @task
    def hoard(self) -> None:
        self.client.get("/memory?mb=4&seconds=10", name="/memory", headers={"Connection": "close"})
