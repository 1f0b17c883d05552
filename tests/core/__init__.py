"""The core, room by room: no HTTP library under test, no sleeping, no real clock."""
