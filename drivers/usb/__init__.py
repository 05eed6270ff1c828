"""USB on the host side: URLs, links, transfers, libusb, USB/IP, sysfs and hot-plug."""
