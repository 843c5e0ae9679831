"""How candidates are proposed, kept and bounded. This file loads no Optuna."""

SAMPLERS = ("prescreened", "nsga2", "tpe", "random")
