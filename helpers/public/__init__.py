"""Public models and data sets, behind the interfaces that the planted world has too.

From bottom to top:

    hub         where their files are: a mirror on this disk, or the Hugging Face hub
    held_out    what is kept for the measurements
    news        financial tweets
    medicine    questions about abstracts of medical papers
    __main__    the command that fills a mirror and pins revisions
"""
