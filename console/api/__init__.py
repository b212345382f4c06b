"""The HTTP face: the same actions, checks and audit as the command line and the console.

app.py          puts it together; what holds for every request: tokens, limits, problem details
asking.py       a request as an action, an outcome as an answer
seeds.py        the paths of the seed documents, as they were written
catalog.py      the catalog to read: search, paging, ETags
watching.py     operations and the feed as server-sent events
metrics.py      Prometheus
"""
