"""How the flows are deployed: applying prefect.yaml, work pools and the worker."""
