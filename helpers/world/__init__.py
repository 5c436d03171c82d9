"""A small world of text: facts in CSV files, held-out sets, and a seeded generator of documents.

    facts       reads ``facts/*.csv``
    held_out    what the corpus, or a part of it, never holds
    relations   facts as relations: statements, questions, pairs
    prose       geography, everyday knowledge, stories, letters, news, reviews, medicine
    lists       exercise sheets, quizzes, lists of pairs
    corpus      all of them, mixed

True are geography and everyday knowledge; companies, people and illnesses are invented.
"""
