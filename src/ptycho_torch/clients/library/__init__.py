"""The older PyTorch library as Ptychodus drives it: choices, loader, model, trainer, reconstruction."""
