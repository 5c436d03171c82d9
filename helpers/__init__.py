"""Helpers of the course, thin on purpose.

Read them bottom up; each module imports only from those above it in this list:

    errors      the one exception
    setup       what the set-up cell of a notebook calls: on Colab and Kaggle what is missing is installed
    files       folders and files that appear whole or not at all, and never replace what is not ours
    runtime     the processors that may be used
    profiles    on what a notebook runs
    world/      facts (CSV), held-out sets, and the documents that are made of them
    tokenizer   BPE trained on the documents
    models      sizes, loading, saving
    cost        parameters, FLOPs and memory by formula
    ngram       n-gram baselines
    prompts     few-shot prompts, scored by likelihood or by generation
    measure     grammar, facts, context, few-shot, instruction: rates with intervals
    demonstrations  sentiment of news and medical questions, to finetune on and to be tested on
    instructions    tasks as a user would put them, in several forms
    chat        the chat template, replies, and how they followed instructions
    preferences     replies in several manners, tastes that rank them, annotators who err
    labels      what annotators said, in a file that is only appended to
    labelling   a widget that asks a reader for them
    scoreboard  the table that grows through the course
    muon        an optimizer
    pretrain    the training run (also a command: ``python -m helpers.pretrain --help``)
    finetune    supervised finetuning, of all parameters or of LoRA adapters
    alignment   a reward model, reinforcement learning against it, and DPO, all with LoRA
    stages      finished models, loaded or trained
    plots       figures and tables
    lab         a real JupyterLab in a real browser
    check       is this machine ready? (a command: ``python -m helpers.check``)
    publish     puts the course online under an owner's name (a command: ``python -m helpers.publish``)
"""

import os
import warnings

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if os.environ.get("COURSE_PROFILE", "tiny") == "tiny":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing of this profile comes from a network
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")  # what peft 0.21 calls
