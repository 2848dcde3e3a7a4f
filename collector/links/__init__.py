"""Links ask or listen, time out and close. One per bus, gateway or broker; none knows a meter."""
