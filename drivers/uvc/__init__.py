"""USB Video Class cameras on a bulk endpoint. Other rooms import driver alone; v4l2 shares the formats."""
