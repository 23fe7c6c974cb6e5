"""Runs over HTTP: begun as a request asks for, followed in the service's event log, told as messages."""
