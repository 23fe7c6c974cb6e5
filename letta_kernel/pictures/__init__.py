"""Pictures in messages: what is taken for one, how it is read, and where it may be fetched from."""
