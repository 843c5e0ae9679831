"""ncnn: the model's files, their int8 form, and the engine."""
