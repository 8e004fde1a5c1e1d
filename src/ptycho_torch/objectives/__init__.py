"""What training and refinement minimise: likelihoods in counts, and regularisers of the canvas."""
