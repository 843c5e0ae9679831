"""The samplers' names, where no Optuna is loaded; `search.study` makes them."""

SAMPLERS = ("prescreened", "nsga2", "tpe", "random")
