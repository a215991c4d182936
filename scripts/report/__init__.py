"""Tables, figures and the page of a scores folder, from that folder alone."""
