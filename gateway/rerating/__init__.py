"""Re-rating: journeys and periods priced again from history when taps came late, were undone, or
when a rider says where an incomplete journey began or ended (docs/rerating.md).

The control plane's side: reads records, decides them again in the order they were made with the
compiled core (fastpath/_replay.pyx), and sends what differs as one RERATE command. Nothing is
edited.
"""
