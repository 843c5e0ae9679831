"""ONNX Runtime: the model's file, its int8 form, and the engine."""
