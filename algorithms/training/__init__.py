"""The training of methods: the trainer, stages that follow each other, the life of a run and what it leaves."""
