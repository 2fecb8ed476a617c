"""PyPI `sseclient-py` over `requests`; coming back is left to its user."""

import json
import sys
import time

import requests
import sseclient

last = None
while True:
    headers = {"Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = last
    try:
        response = requests.get(sys.argv[1], stream=True, headers=headers, timeout=120)
        for event in sseclient.SSEClient(response).events():
            if event.event == "delta":
                last = event.id
                print("E", event.id, json.loads(event.data)["id"], flush=True)
            elif event.event != "busy":
                print("X" if event.data else "EMPTY", event.event, event.data, flush=True)
    except requests.exceptions.RequestException:
        pass
    time.sleep(0.1)
