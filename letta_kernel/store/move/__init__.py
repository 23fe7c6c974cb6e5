"""A project's rows copied from one engine to another, or to another place of the same."""
