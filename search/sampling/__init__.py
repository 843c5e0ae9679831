"""An Optuna sampler for discrete spaces whose costs are known before anything is trained."""
