"""DICOM pixels and waveforms to typed inputs, in disposable children without torch."""
