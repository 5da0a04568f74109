"""fsgw: the gateway's configuration, its administration and its command line over the store."""
