"""What people look at: Grafana's dashboards, built from one description, and the ways to bring them there."""
