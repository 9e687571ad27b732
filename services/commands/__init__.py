"""What the verbs of `python main.py` do, one file each."""
