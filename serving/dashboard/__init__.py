"""The dashboard: what its pages are made of (`blocks`), and where they are kept (`store`)."""
