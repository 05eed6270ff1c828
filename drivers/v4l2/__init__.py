"""Cameras through the Linux kernel driver (V4L2). Other rooms import only driver."""
