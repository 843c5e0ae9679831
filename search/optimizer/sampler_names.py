"""The samplers' names, for command lines: this module loads no Optuna."""

SAMPLERS = ("prescreened", "nsga2", "tpe", "random")
