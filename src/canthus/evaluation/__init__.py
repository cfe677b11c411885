"""What an evaluation is: its figures, what they are divided by, its conditions, its files, and what models cost."""
