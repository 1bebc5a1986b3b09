"""What plugins implement and receive."""
