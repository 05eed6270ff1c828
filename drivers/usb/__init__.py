"""USB as a host: URLs, links, transfers, libusb, USB/IP, sysfs and hot-plug."""
