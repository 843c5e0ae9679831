"""The samplers' names, where no Optuna is loaded; `search.optimizer.study` makes them."""

SAMPLERS = ("prescreened", "nsga2", "tpe", "random")
