"""Between the screen and the services: they live on a loop in a thread of their own, and the screen never waits.

threading.py   the thread, its loop, and how something is asked of it
jobs.py        an action under way: its progress, its end, its cancelling
ring.py        a bounded line of events that counts what it drops
live.py        what is followed for as long as the console is open: the feed, the links, the health
bridge.py      all of it together, as the app holds it
"""

from __future__ import annotations

from console.bridge.bridge import Bridge
from console.bridge.jobs import Job
from console.bridge.live import Health, Live
from console.bridge.ring import Ring

__all__ = ["Bridge", "Health", "Job", "Live", "Ring"]
