"""Two programs compared: which lines are the same up to names, order and gauge, and on which inputs they predict differently."""
