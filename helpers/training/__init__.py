"""Trainings through transformers, trl and peft; nothing here knows the world.

From bottom to top:

    processes    several processes as one training
    common       settings, progress bar, step times
    muon         an optimizer
    checkpoints  whole or not there, and the Trainer that saves them
    packing      texts to blocks of token ids, and the loss in bits per byte
    tokens       token ids in files, read as they are needed
    pretraining  from random weights, with checkpoints
    finetune     supervised finetuning, of all parameters or of LoRA adapters
    alignment    a reward model, reinforcement learning against it, and DPO, all with LoRA
"""
