"""The virtual lab: stands where the vendors' libraries and sockets would be, one physical world behind all of them."""
