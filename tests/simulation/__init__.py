"""The core under a scheduler of ours: no threads, virtual time, a scripted server."""
