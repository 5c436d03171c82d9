"""What people prefer, and how they are asked.

From bottom to top:

    preferences  pairs of replies that a model has drawn, and simulated annotators of a taste
    labels       what annotators said, in a file that is only appended to
    labelling    a widget that asks a reader for it
"""
