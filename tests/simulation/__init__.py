"""The core under our own scheduler: no threads, virtual time, a scripted server."""
