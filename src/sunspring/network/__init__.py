"""The network: its architecture, layers and weights, the folder that holds a model, and the engine in C++."""
