"""What scores pictures: judges, the scores themselves, their intervals, and the table that keeps them."""
