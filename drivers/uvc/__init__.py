"""USB Video Class cameras on a bulk endpoint. Other rooms import only driver; v4l2 shares the formats."""
