"""The storage engine: branches of a content-addressed, versioned POSIX tree on local disk."""
