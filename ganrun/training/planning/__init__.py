"""What is known about a run before its first step: its plan, its memory, its speed."""
