"""The network: architecture, layers, weights, the model folder, and the native engine in C++."""
