"""What the adapters share. HTTP libraries are handed in, never imported here."""
