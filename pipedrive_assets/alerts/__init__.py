"""Who is told when something is wrong: conditions, messages, channels, and figures for a dashboard.

Read in this order: ``snapshot`` (what is known), ``conditions`` (what of it is worth a message),
``messages`` (the words), ``channels`` (the ways), ``dispatch`` (once, and until it arrived). ``metrics``
gives the same facts to Prometheus. Nothing here asks the API or opens the warehouse.
"""
