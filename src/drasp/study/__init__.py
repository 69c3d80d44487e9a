"""Studies of many models: a grid, each cell of it trained and decompiled, and what all of them say together."""
