"""Helpers of the course, thin on purpose.

Read them from the top of this list; each imports only from those above it. Folders have lists of
their own.

    errors      the one exception
    setup       what the set-up cell calls: on Colab and Kaggle what is missing is installed
    stats       rates and their intervals
    files       folders that appear whole or not at all, and never replace what is not ours
    runtime     the machine: processors, memory, speed
    compat      every patch of a library
    data        prompts and pairs: what the two halves of the course agree on
    lm/         a language model, of whatever family: asked, talked to, its cost, loaded and saved
    training/   pretraining, finetuning, alignment
    texts       the reader's own texts
    world/      facts (CSV), held-out sets, documents made of them, and all that is asked about them
    public/     public models and data sets, from a mirror or the Hugging Face hub
    benchmark   how fast this machine trains
    arguments   of the pretraining run
    tokenise    a text tokenised once, for long runs (``python -m helpers.tokenise --help``)
    runs        the folder of a pretraining run: settings, checkpoints, the end
    pretrain    the pretraining run (``python -m helpers.pretrain --help``)
    feedback/   preferences, labels, the widget
    profiles    on what a notebook runs, and how much of it
    records     what was measured on real models
    claims      what the notebooks claim, by how much
    stages      finished models, loaded or trained
    scoreboard  the table that grows through the course
    show/       figures and tables, one call each
    exercises   checks of answers, and of their own solutions
    lab         a real JupyterLab in a real browser
    check       is this machine ready? (``python -m helpers.check``)
    publish     puts the course online under an owner's name (``python -m helpers.publish``)
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
#: Whether the course itself has switched the hub off: nothing of the profile ``tiny`` comes from a
#: network.
OFFLINE = os.environ.get("COURSE_PROFILE", "tiny") == "tiny" and "HF_HUB_OFFLINE" not in os.environ
if OFFLINE:
    os.environ["HF_HUB_OFFLINE"] = "1"


def one_gpu() -> None:
    """Leaves this process one GPU of several: the Trainer would spread over all, with batches that
    are larger than it was told. To be called before torch looks for GPUs."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = given.partition(",")[0]


def online() -> None:
    """Switches the hub on again, unless the reader has switched it off. To be called before
    huggingface_hub is loaded."""
    if OFFLINE:
        os.environ.pop("HF_HUB_OFFLINE", None)
