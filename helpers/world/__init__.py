"""A small world of text: facts in CSV files, held-out sets, and a seeded generator of documents.

    facts         reads ``facts/*.csv``
    held_out      what the corpus, or a part of it, never holds
    relations     facts as relations: statements, questions, pairs
    prose         geography, everyday knowledge, stories, letters, news, reviews, medicine
    lists         exercise sheets, quizzes, lists of pairs
    prompts       few-shot prompts
    corpus        documents of all kinds, mixed
    tokenizer     BPE trained on the documents
    skills        grammar, facts, context, few-shot, instruction: rates with intervals
    news          headlines and how good they are, to finetune on and to be tested on
    medicine      questions about illnesses, likewise
    instructions  tasks as a user would put them, in several forms
    tastes        manners of replies, and judges who rank them

True are geography and everyday knowledge; companies, people and illnesses are invented.
"""
