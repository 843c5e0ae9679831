"""What a network is and what it costs on paper: ops, blocks, networks, spaces, guidelines.

Everything here is numpy; torch is imported by `space.network.torch_module` alone.
"""
