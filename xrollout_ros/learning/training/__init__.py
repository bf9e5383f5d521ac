"""How a policy is trained: options, what is drawn and how often, the loop, and what it leaves behind."""
