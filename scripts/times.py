"""Times in words."""


def clock(seconds: float) -> str:
    """Minutes and seconds: "3:07"."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
