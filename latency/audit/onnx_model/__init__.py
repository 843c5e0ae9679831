"""What an ONNX file computes for one image: its nodes in order, with constants folded."""
