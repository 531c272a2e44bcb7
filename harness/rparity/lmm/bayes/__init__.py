"""Posterior distributions, by quadrature and by MCMC."""
