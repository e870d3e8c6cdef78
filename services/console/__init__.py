"""The console: what people see of bounce processing in a browser, and the HTTP API."""
