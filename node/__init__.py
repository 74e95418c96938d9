"""cardionode: a DICOM processing node for cardiac AI."""
