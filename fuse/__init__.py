"""The FUSE door: the kernel's FUSE protocol to trees of a store; see README.md in this folder."""
