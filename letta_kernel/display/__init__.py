"""What a person sees: transcripts, the live view, tables and panels."""
