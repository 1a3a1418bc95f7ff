"""One method per file, the trainer that fits any of them, and the pipeline that chains a selector and a learner."""
