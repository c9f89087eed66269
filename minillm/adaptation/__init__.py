"""Few trained numbers beside a frozen model."""
