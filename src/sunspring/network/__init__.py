"""The network: architecture, layers, weights, the folder of a model, and the engine in C++."""
