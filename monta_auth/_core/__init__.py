"""Every decision about tokens. No I/O, no HTTP library, no adapter: values in, values out."""
