"""Control: acting step by step, and what its models share: episodes and their files, environments, policies, scores."""
