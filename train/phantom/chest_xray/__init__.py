"""Simulated chest X-rays: ray integrals through a simple thorax, then exposure and display."""
