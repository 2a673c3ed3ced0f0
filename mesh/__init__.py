"""Who may call what (policy.yaml), and what is made from it for each kind of mesh."""
