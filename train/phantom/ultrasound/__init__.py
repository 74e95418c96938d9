"""Ultrasound image formation: speckle from moving scatterers, beams, display, scan conversion."""
