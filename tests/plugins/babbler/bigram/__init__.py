"""text.bigram: the next letter from the last one."""
