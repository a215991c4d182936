"""How tables, figures and sentences call the methods."""

TITLES = {
    "ip_adapter": "IP-Adapter",
    "instantstyle": "InstantStyle",
    "masking": "Masking",
    "quantile_masking": "Quantile masking",
    "image_adapter": "Image-Adapter",
    "text_adapter": "Text-Adapter",
    "styleshot": "StyleShot",
}


def title_of(method: str) -> str:
    """How a table calls a method: "Masking"; with what its name has besides: "Masking (contour)"."""
    for name in sorted(TITLES, key=len, reverse=True):
        if method == name or method.startswith(f"{name}_"):
            rest = method.removeprefix(name).replace("_", " ").strip()
            return f"{TITLES[name]} ({rest})" if rest else TITLES[name]
    return method
